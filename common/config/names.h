// SPDX-License-Identifier: MIT
// The words of the configuration's closed lists, for the readers and the printers.
#pragma once

#include <array>
#include <string_view>
#include <utility>

#include "common/config/agent_config.h"
#include "common/config/pipeline_config.h"

namespace baton::config {

template <class Enum>
using NameOf = std::pair<std::string_view, Enum>;

inline constexpr std::array node_role_names{NameOf<NodeRole>{"member", NodeRole::member},
                                            NameOf<NodeRole>{"witness", NodeRole::witness}};
inline constexpr std::array anonymous_names{NameOf<Anonymous>{"none", Anonymous::none},
                                            NameOf<Anonymous>{"read", Anonymous::read}};
inline constexpr std::array traffic_method_names{NameOf<TrafficMethod>{"none", TrafficMethod::none},
                                                 NameOf<TrafficMethod>{"readiness", TrafficMethod::readiness},
                                                 NameOf<TrafficMethod>{"haproxy_agent", TrafficMethod::haproxy_agent},
                                                 NameOf<TrafficMethod>{"haproxy_socket", TrafficMethod::haproxy_socket},
                                                 NameOf<TrafficMethod>{"refuse", TrafficMethod::refuse},
                                                 NameOf<TrafficMethod>{"file", TrafficMethod::file},
                                                 NameOf<TrafficMethod>{"command", TrafficMethod::command}};
inline constexpr std::array build_priority_names{NameOf<BuildPriority>{"idle", BuildPriority::idle},
                                                 NameOf<BuildPriority>{"low", BuildPriority::low},
                                                 NameOf<BuildPriority>{"normal", BuildPriority::normal}};
inline constexpr std::array verify_commit_names{NameOf<VerifyCommit>{"none", VerifyCommit::none},
                                                NameOf<VerifyCommit>{"ssh", VerifyCommit::ssh},
                                                NameOf<VerifyCommit>{"gpg", VerifyCommit::gpg}};
inline constexpr std::array parameter_type_names{NameOf<Parameter::Type>{"string", Parameter::Type::string},
                                                 NameOf<Parameter::Type>{"text", Parameter::Type::text},
                                                 NameOf<Parameter::Type>{"boolean", Parameter::Type::boolean},
                                                 NameOf<Parameter::Type>{"choice", Parameter::Type::choice},
                                                 NameOf<Parameter::Type>{"password", Parameter::Type::password}};
inline constexpr std::array on_failure_names{NameOf<OnFailure>{"halt", OnFailure::halt},
                                             NameOf<OnFailure>{"rollback", OnFailure::rollback}};
inline constexpr std::array on_new_commit_names{NameOf<OnNewCommit>{"supersede", OnNewCommit::supersede},
                                                NameOf<OnNewCommit>{"queue", OnNewCommit::queue}};
inline constexpr std::array publish_names{NameOf<Publish>{"symlink", Publish::symlink},
                                          NameOf<Publish>{"rsync", Publish::rsync}};
inline constexpr std::array strategy_names{NameOf<Strategy>{"stop_start", Strategy::stop_start},
                                           NameOf<Strategy>{"overlap", Strategy::overlap},
                                           NameOf<Strategy>{"blue_green", Strategy::blue_green}};

inline constexpr std::array stop_signal_names{
    NameOf<StopSignal>{"SIGTERM", StopSignal::term},  NameOf<StopSignal>{"SIGINT", StopSignal::interrupt},
    NameOf<StopSignal>{"SIGQUIT", StopSignal::quit},  NameOf<StopSignal>{"SIGHUP", StopSignal::hang_up},
    NameOf<StopSignal>{"SIGUSR1", StopSignal::user1}, NameOf<StopSignal>{"SIGUSR2", StopSignal::user2}};

/// The word for `value`; every enumerator is in its table.
template <class Names, class Enum>
[[nodiscard]] std::string_view name_of(const Names& names, Enum value) {
    for (const auto& [name, candidate] : names) {
        if (candidate == value) return name;
    }
    return "?";
}

}  // namespace baton::config
