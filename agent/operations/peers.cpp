// SPDX-License-Identifier: MIT
// What another agent of the chain may ask.
#include "agent/operations/peers.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/engine/engine.h"
#include "common/error.h"
#include "common/json.h"

namespace baton::operations {
namespace {

CommitId commit_of(const std::string& text) {
    if (!is_commit_id(text)) throw Error(ErrorKind::invalid, "a commit id has 40 hexadecimal digits");
    return CommitId(text);
}

}  // namespace

std::string Peers::exchange(const AppName& app, const NodeName& from, const std::string& address,
                            std::string_view body) {
    return json::dump(engine::to_json(engine_.exchange(app, from, address, engine_.read(from, body))));
}

std::string Peers::handoff(const AppName& app, const NodeName& from, const std::string& address,
                           std::string_view body) {
    const auto answer = engine_.exchange(app, from, address, engine_.read(from, body));
    json::Value value = engine::to_json(answer);
    value["already"] = false;
    for (const auto& message : answer.messages) {
        if (const auto* ack = std::get_if<chain::HandoffAck>(&message.body)) value["already"] = ack->already;
    }
    return json::dump(value);
}

std::string Peers::pack(const AppName& app, std::string_view body) const {
    constexpr std::size_t most_haves = 1'000;
    const json::Value value = json::parse(body);
    std::vector<CommitId> have;
    if (value.contains("have")) {
        for (const auto& commit : json::member(value, "have")) {
            if (!commit.is_string() || have.size() >= most_haves) {
                throw Error(ErrorKind::invalid, fmt::format("'have' must be a list of at most {} commits", most_haves));
            }
            have.push_back(commit_of(commit.get<std::string>()));
        }
    }
    return engine_.pack(app, commit_of(json::text(value, "want")), have);
}

}  // namespace baton::operations
