// SPDX-License-Identifier: MIT
// Whether this node serves an app: the one state that every load balancer integration reads and reports polls to.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/types.h"

namespace baton::build {

/// Through which door a load balancer looked. Each counts for itself: a health check proves nothing about the
/// agent-check of the same load balancer.
enum class PollSource { readiness, agent_check };

/// How the node stands towards the load balancers.
enum class ServiceMode {
    serving,    ///< in rotation; nothing to say
    draining,   ///< wants no new requests
    rejoining,  ///< was draining by our doing, may have requests again, not yet noticed by every load balancer
};

/// Shared by the stages of a build, `GET /health/APP` and the agent-check listener. Any thread; every wait has a
/// deadline. Not durable: who restarts the agent sets it anew (set_mode) from what he stored.
class ServiceState {
  public:
    /// `askers`: whose polls count, by address; empty for anybody's. A monitor that looks at the same page is no load
    /// balancer, and must not be taken for one that has noticed.
    explicit ServiceState(std::vector<std::string> askers = {}) : askers_(std::move(askers)) {}

    /// Begins to answer so, and forgets the polls counted so far. A poll that was answered before counts no more.
    void set_mode(ServiceMode mode);
    [[nodiscard]] ServiceMode mode() const;

    /// What the last health check said. An app that is down is not ready, whatever the mode.
    void set_healthy(bool healthy);
    [[nodiscard]] bool healthy() const;

    /// Held back, the node does not serve however healthy its app is: it came back from the dead, and the app may run
    /// what the others have long left behind.
    void set_held_back(bool held_back);

    /// A person has taken the node out: it stays out however its switches end, until a person takes it back.
    void set_drained(bool drained);

    /// Held back or drained: whoever ends a switch leaves the node out of the load balancer.
    [[nodiscard]] bool kept_out() const;

    /// Ready for requests: healthy, neither held back nor drained, and not draining. The answer to `GET /health/APP`.
    [[nodiscard]] bool ready() const;
    /// The answer to HAProxy's agent-check, with its newline: `up`, `drain`, or `up ready`, which ends a drain and is
    /// therefore said only after our own, until every load balancer has heard it: an operator's drain survives.
    [[nodiscard]] std::string agent_check_answer() const;

    /// What a poll is answered with, taken in one look; give it to count_poll once the answer has been sent.
    struct Answer {
        bool ready = false;
        std::string agent_check;
        unsigned long long generation = 0;
    };
    [[nodiscard]] Answer answer() const;
    /// A poll from `peer` (its address without port) has been answered with `answer`. Counted unless the mode
    /// has changed since.
    void count_poll(PollSource source, std::string_view peer, const Answer& answer);

    /// Waits until `peers` different addresses have polled `polls` times each through `source` since the mode was
    /// set. False after `limit`; Error(cancelled) after `stop`.
    [[nodiscard]] bool wait_for_polls(PollSource source, unsigned peers, unsigned polls, Milliseconds limit,
                                      const std::stop_token& stop);
    /// `2 of 3 load balancers have noticed`, for status and messages; where they are known, with those that have not.
    [[nodiscard]] std::string describe_polls(PollSource source, unsigned peers, unsigned polls) const;

  private:
    [[nodiscard]] unsigned noticed(PollSource source, unsigned polls) const;
    void set_kept_out(bool& why, bool kept_out);

    mutable std::mutex mutex_;
    std::condition_variable_any changed_;
    ServiceMode mode_ = ServiceMode::serving;
    std::vector<std::string> askers_;
    bool healthy_ = true;
    bool held_back_ = false;
    bool drained_ = false;
    unsigned long long generation_ = 0;
    std::map<std::pair<PollSource, std::string>, unsigned> polls_;  ///< at most most_peers entries
};

}  // namespace baton::build
