// SPDX-License-Identifier: MIT
// Commands that change something: trigger with its waiting, and the orders.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "agent/cli/commands.h"
#include "agent/cli/follow.h"
#include "agent/cli/interrupt.h"
#include "agent/cli/output.h"
#include "agent/cli/render.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/file.h"
#include "common/text.h"

namespace baton::cli {
namespace {

using namespace std::chrono_literals;

constexpr Milliseconds poll_interval = 300ms;
// The rollout that is waited for is among the newest, however fast commits come.
constexpr unsigned rollouts_looked_at = 50;

std::string app_target(const std::string& app, std::string_view what) {
    return fmt::format("/api/v1/apps/{}/{}", path_name("an app", app), what);
}

std::string reason_of(const json::Value& object) {
    const std::string reason = text_of(object, "reason");
    return reason.empty() ? "" : ": " + escape_control(reason);
}

/// Follows a trigger from the queue to the rollout's end.
class Follower {
  public:
    Follower(const AgentClient& agent, std::string app, std::int64_t queue_id, std::string rollout)
        : agent_(agent), app_(std::move(app)), queue_id_(queue_id), rollout_(std::move(rollout)) {}

    /// One look; the exit status once it is known.
    std::optional<int> look() {
        if (rollout_.empty()) return look_at_queue();
        const json::Value answer = agent_.get(app_target(app_, fmt::format("rollouts?limit={}", rollouts_looked_at)));
        for (const auto& rollout : list_of(answer, "rollouts")) {
            if (text_of(rollout, "id") == rollout_) return look_at(rollout);
        }
        return std::nullopt;
    }

    [[nodiscard]] const std::string& rollout() const { return rollout_; }

  private:
    std::optional<int> look_at_queue() {
        const json::Value item = agent_.get(app_target(app_, fmt::format("queue/{}", queue_id_)));
        const std::string state = text_of(item, "state");
        if (state == "started") {
            rollout_ = text_of(item, "rollout");
            if (!rollout_.empty()) print(fmt::format("rollout {} has started\n", escape_control(rollout_)));
        } else if (state == "held") {
            note(fmt::format("held{}\nIt goes on when what holds it ends: baton status {}, baton unfreeze {}",
                             reason_of(item), app_, app_));
            return exit_held;
        } else if (state == "cancelled" || state == "refused") {
            note(fmt::format("{}{}", state, reason_of(item)));
            return exit_failed;
        }
        return std::nullopt;
    }

    std::optional<int> look_at(const json::Value& rollout) {
        print(lines_.changed(app_, list_of(rollout, "nodes")));
        const std::string state = text_of(rollout, "state");
        if (state == "running" || state == "queued" || state.empty()) return std::nullopt;
        const std::string end = fmt::format("{} {}{}", app_, escape_control(state), reason_of(rollout));
        if (state == "succeeded") {
            print(end + "\n");
            return exit_ok;
        }
        note(end);
        if (state == "held") return exit_held;
        if (state == "halted")
            note(fmt::format("baton log {} shows this node's part; baton resume {} tries it again", app_, app_));
        return exit_failed;
    }

    const AgentClient& agent_;
    std::string app_;
    std::int64_t queue_id_;
    std::string rollout_;
    ProgressLines lines_;
};

int follow(const AgentClient& agent, const TriggerOptions& options, std::int64_t queue_id, const std::string& rollout) {
    Interrupt interrupt;
    Patience patience;
    patience.answered();  // the trigger itself was
    Follower follower(agent, options.app, queue_id, rollout);
    const SystemClock clock;
    const Instant until = clock.now() + options.timeout;
    while (true) {
        try {
            if (const auto status = follower.look()) return *status;
            patience.answered();
        } catch (const Error& error) {
            patience.failed(error);
        }
        if (clock.now() >= until) {
            throw Error(ErrorKind::step_failed,
                        fmt::format("the rollout has not ended within {}; it goes on: baton status {} --watch",
                                    to_text(options.timeout), options.app));
        }
        if (interrupt.wait(poll_interval)) {
            note(fmt::format("no longer waiting; the rollout goes on: baton status {} --watch, baton halt {}",
                             options.app, options.app));
            return exit_failed;
        }
    }
}

/// More is no value of a parameter; agents refuse bodies of this size as well.
constexpr std::uint64_t most_value_bytes = 1024UL * 1024;

std::string read_standard_input() {
    std::string text;
    std::array<char, 4096> piece{};
    while (true) {
        const ssize_t got = ::read(STDIN_FILENO, piece.data(), piece.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) throw system_error("read standard input", errno);
        if (got == 0) return text;
        text.append(piece.data(), static_cast<std::size_t>(got));
        if (text.size() > most_value_bytes) {
            throw Error(ErrorKind::too_large,
                        fmt::format("standard input holds more than the {} bytes of a parameter", most_value_bytes));
        }
    }
}

/// All of them by name, those of files read. `echo secret > file` leaves an end of line that nobody means.
std::map<std::string, std::string> parameters_of(const TriggerOptions& options) {
    auto parameters = options.parameters;
    bool input_is_read = false;
    for (const auto& [name, file] : options.parameter_files) {
        if (parameters.contains(name)) {
            throw Error(ErrorKind::invalid, fmt::format("{} is given by --param and by --param-file: leave one out",
                                                        escape_control(name)));
        }
        const bool input = file == "-";
        if (input && input_is_read) {
            throw Error(ErrorKind::invalid, "standard input can be the value of one parameter only: put others in files");
        }
        input_is_read = input_is_read || input;
        auto value = with_context(fmt::format("parameter {}", escape_control(name)), [&] {
            return input ? read_standard_input() : read_file(file, most_value_bytes);
        });
        if (value.ends_with('\n')) value.pop_back();
        if (value.ends_with('\r')) value.pop_back();
        parameters[name] = std::move(value);
    }
    return parameters;
}

int report(const json::Value& answer) {
    const std::string message = text_of(answer, "message");
    print(fmt::format("{}\n", message.empty() ? "accepted" : escape_control(message)));
    return exit_ok;
}

}  // namespace

int trigger(const Connection& connection, const TriggerOptions& options) {
    const AgentClient agent(connection);
    json::Value body{{"commit", nullptr}, {"parameters", parameters_of(options)}, {"force", options.force}};
    if (!options.commit.empty()) body["commit"] = options.commit;
    const json::Value answer = agent.post(app_target(options.app, "trigger"), body);
    const auto queue_id = number_of(answer, "queue_id");
    const std::string rollout = text_of(answer, "rollout");
    if (options.json) {
        print(json::dump(answer) + "\n");
    } else if (rollout.empty()) {
        print(fmt::format("{} is queued as {}\n", options.app, queue_id));
    } else {
        print(fmt::format("rollout {} has started\n", escape_control(rollout)));
    }
    if (!options.wait) return exit_ok;
    return follow(agent, options, queue_id, rollout);
}

int order(const Connection& connection, const std::string& verb, const OrderOptions& options) {
    const AgentClient agent(connection);
    json::Value body = json::Value::object();
    if (!options.reason.empty()) body["reason"] = options.reason;
    if (!options.commit.empty()) body["commit"] = options.commit;
    if (!options.rollout.empty()) body["rollout"] = options.rollout;
    if (options.lasting.count() > 0) body["until_ms"] = to_epoch_ms(SystemClock().wall() + options.lasting);
    if (options.until) body["until_ms"] = to_epoch_ms(*options.until);
    return report(agent.post(app_target(options.app, verb), body));
}

int node_order(const Connection& connection, const std::string& verb, const std::string& node,
               const std::string& reason) {
    const AgentClient agent(connection);
    json::Value body = json::Value::object();
    if (!reason.empty()) body["reason"] = reason;
    return report(agent.post(fmt::format("/api/v1/nodes/{}/{}", path_name("a node", node), verb), body));
}

}  // namespace baton::cli
