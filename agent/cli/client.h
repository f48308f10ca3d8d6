// SPDX-License-Identifier: MIT
// One agent, spoken to over HTTP: its `/api/v1` as JSON, and its errors as Errors that say what to do next.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "common/json.h"
#include "common/net/http_client.h"

namespace baton::cli {

/// How to reach an agent, and as whom. The token itself never comes from the command line, where every user
/// of the machine could read it.
struct Connection {
    std::string agent = "http://127.0.0.1:7070";
    std::optional<std::filesystem::path> token_file;
    std::optional<std::filesystem::path> ca_file;
    std::optional<std::filesystem::path> certificate_file;
    std::optional<std::filesystem::path> private_key_file;
};

class AgentClient {
  public:
    /// Reads the token: `token_file`, else the file in BATON_TOKEN_FILE, else BATON_TOKEN. Error(invalid) for
    /// an URL that is none, Error(forbidden) for a token file that others may read.
    explicit AgentClient(const Connection& connection);

    /// `target` is path and query, as sent. Errors: the agent's own kind and message, or unreachable and
    /// timeout.
    [[nodiscard]] json::Value get(const std::string& target) const;
    [[nodiscard]] json::Value post(const std::string& target, const json::Value& body) const;

    /// A piece of a log from `start`, and where it ended.
    struct LogPiece {
        std::string bytes;
        bool more = false;  ///< the build runs on
    };
    [[nodiscard]] LogPiece log(const std::string& target, std::uint64_t start) const;

    [[nodiscard]] const std::string& url() const { return base_; }

  private:
    [[nodiscard]] net::HttpResponse call(const std::string& method, const std::string& target, std::string body) const;

    std::string base_;
    std::string token_;
    net::HttpClient client_;
};

/// `name` as a path segment. Error(invalid) for what cannot be the name of an app or node.
[[nodiscard]] std::string path_name(std::string_view what, std::string_view name);
/// Percent-encoded for a query.
[[nodiscard]] std::string query_value(std::string_view text);

}  // namespace baton::cli
