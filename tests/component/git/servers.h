// SPDX-License-Identifier: MIT
// Git hosts of the tests, on loopback: one that never answers, and one that wants a password.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/file.h"

namespace baton::test {

/// Listens on 127.0.0.1 at a port of its own, and answers each request as `reply` says; an empty reply: takes the
/// connection and stays silent.
class TinyServer {
  public:
    explicit TinyServer(std::string reply);
    TinyServer(const TinyServer&) = delete;
    TinyServer& operator=(const TinyServer&) = delete;
    ~TinyServer();
    [[nodiscard]] std::uint16_t port() const { return port_; }
    /// The requests' heads so far.
    [[nodiscard]] std::string requests();
    [[nodiscard]] unsigned connections() const { return connections_; }

  private:
    void serve(const std::stop_token& stop);
    void answer(Fd connection, std::vector<Fd>& silent);

    std::string reply_;
    Fd listener_;
    std::uint16_t port_ = 0;
    std::mutex mutex_;
    std::string requests_;
    std::atomic<unsigned> connections_ = 0;
    std::jthread thread_;
};

}  // namespace baton::test
