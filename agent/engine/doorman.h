// SPDX-License-Identifier: MIT
// Tells the load balancer, outside of switches, that this node is kept out of service for an app or serves again: where
// the method wants the agent to act (file, command, haproxy_socket, refuse). A load balancer that asks needs nobody.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "agent/build/steps/build_spec.h"
#include "common/types.h"

namespace baton::engine {

/// Public functions: any thread, but stop() and the destructor: the owner's.
class Doorman {
  public:
    /// `spec` describes the app as it is current; called on the doorman's thread. `log` takes what a command prints,
    /// of the last wish only. `again_after`: when a load balancer that could not be told is told once more.
    Doorman(const config::AgentConfig& config, const config::App& app, std::function<build::BuildSpec()> spec,
            std::filesystem::path log, Milliseconds again_after = Milliseconds(5'000));
    Doorman(const Doorman&) = delete;
    Doorman& operator=(const Doorman&) = delete;
    ~Doorman() = default;

    /// Tells the load balancer so, again and again until it could be told. Returns at once; the last wish counts.
    void keep_out(bool out);
    /// Nothing is to be told any more: a switch that is about to begin says what the load balancer hears from here on.
    void withdraw();
    /// The last wish has been carried out, or there was none.
    [[nodiscard]] bool told() const;
    /// What keeps the last wish from being carried out, for people; empty when nothing does.
    [[nodiscard]] std::string trouble() const;

    /// Nothing is told while it lives.
    class Door {
      public:
        explicit Door(Doorman& doorman) : doorman_(doorman) {}
        Door(const Door&) = delete;
        Door& operator=(const Door&) = delete;
        ~Door() { doorman_.give_back(); }

      private:
        Doorman& doorman_;
    };
    /// For a switch, which speaks with the load balancer itself. What is being told is broken off, and told afterwards.
    [[nodiscard]] Door hold();
    /// Ends the thread; what was not told is told by the next start.
    void stop();

  private:
    void work(const std::stop_token& stop);
    void give_back();
    /// Empty, or what went wrong.
    [[nodiscard]] std::string tell(bool out, const std::stop_token& stop) const;

    const config::AgentConfig& config_;
    const config::App& app_;
    std::function<build::BuildSpec()> spec_;
    std::filesystem::path log_;
    Milliseconds again_after_;
    mutable std::mutex mutex_;
    std::condition_variable_any wake_;
    std::optional<bool> wish_;
    unsigned long long wishes_ = 0;  ///< counted, so that a wish that comes while one is carried out is not lost
    std::string trouble_;
    unsigned held_ = 0;         ///< how many doors are held
    bool speaking_ = false;     ///< the thread tells the load balancer something
    std::stop_source telling_;  ///< breaks that off
    std::jthread thread_;       ///< last: the first to end; none where the load balancer asks by itself
};

}  // namespace baton::engine
