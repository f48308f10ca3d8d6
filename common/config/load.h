// SPDX-License-Identifier: MIT
// From YAML to values and back: the only door to both configuration files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "common/config/agent_config.h"
#include "common/config/pipeline_config.h"

namespace baton::config {

/// A larger file is refused before it is parsed.
inline constexpr std::uint64_t most_config_bytes = 256 * 1024;

/// Reads agent.yaml from text. `file_name` is what the report calls it. ConfigError with every fault of the
/// file. `self` is empty and `${NODE_NAME}`, `${NODE_ADDRESS}`, `${APP}` stand as written, until
/// bind_to_node().
[[nodiscard]] AgentConfig parse_agent_config(std::string_view text, std::string_view file_name);
/// The same from a file: Error(not_found/io/too_large) where it cannot be read.
[[nodiscard]] AgentConfig load_agent_config(const std::filesystem::path& path);

/// Makes the configuration that of one node: sets `self` and expands the variables in `state_dir`,
/// `deploy_to`, `agent_check_listen`, `haproxy_sockets`, `haproxy_server`, `in_flight_host` and `file`.
/// `hash` is unaffected. Error(not_found) naming the known nodes.
void bind_to_node(AgentConfig& config, const NodeName& self);

/// What `baton agent` does first: load_agent_config, find out which node this is (see identity.h;
/// `node_argument` is `--node`, else BATON_NODE counts), bind_to_node.
[[nodiscard]] AgentConfig load_for_this_node(const std::filesystem::path& path,
                                             const std::optional<std::string>& node_argument);

/// Whose baton.yaml it is. What agents have come to ask for since is asked of new releases only: one that runs already
/// must stay one that can be looked at, stopped and started again.
enum class PipelineOf { new_release, kept_release };

/// Reads baton.yaml from text. ConfigError with every fault of the file.
[[nodiscard]] Pipeline parse_pipeline(std::string_view text, std::string_view file_name,
                                      PipelineOf whose = PipelineOf::new_release);

/// The effective configuration, defaults written out; parses back to the same values.
[[nodiscard]] std::string to_yaml(const AgentConfig& config);
[[nodiscard]] std::string to_yaml(const Pipeline& pipeline);

/// Which of the two files a text is meant to be, by its top-level keys; none when it has keys of neither or
/// cannot be parsed.
enum class FileKind { agent, pipeline };
[[nodiscard]] std::optional<FileKind> detect_kind(std::string_view text);

}  // namespace baton::config
