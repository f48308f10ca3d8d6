// SPDX-License-Identifier: MIT
// What commands need that follow an agent for a while: patience with its absence, and lines where something
// changed.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "common/error.h"
#include "common/json.h"
#include "common/types.h"

namespace baton::cli {

/// An agent may restart while it is followed. Silence is borne for a while, anything else is not.
class Patience {
  public:
    void answered();
    /// Throws `error` again, unless it only says that nobody answers, for less than a minute, after an answer
    /// before.
    void failed(const Error& error);

  private:
    std::optional<Instant> silent_since_;
    bool answered_ = false;  ///< ever
};

/// A line for each node whose stage, state or wait is another than at the last call.
class ProgressLines {
  public:
    ProgressLines();
    /// `  12s  web1 test running`, the time since this object was made.
    [[nodiscard]] std::string changed(const std::string& app, const json::Value& nodes);

  private:
    Instant begin_;
    std::map<std::pair<std::string, std::string>, std::string> shown_;  ///< by app and node
};

}  // namespace baton::cli
