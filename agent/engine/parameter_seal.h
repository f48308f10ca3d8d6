// SPDX-License-Identifier: MIT
// Values of password parameters: sealed from the trigger on, in every row and message, and opened for the steps alone.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/config/agent_config.h"
#include "common/net/cluster_keys.h"
#include "common/types.h"

namespace baton::engine {

using Parameters = std::map<std::string, std::string>;

/// Sealed with a cluster key, which every node of the chain has, and which does not lie in the state directory. The
/// same value under the same key looks the same, so that triggers that ask for the same are still one. Any thread.
class ParameterSeal {
  public:
    ParameterSeal(std::shared_ptr<net::ClusterKeyRing> keys, NodeName self, const Clock& clock)
        : keys_(std::move(keys)), self_(std::move(self)), clock_(clock) {}

    /// The values of the app's password parameters replaced by `sealed:KEY:BASE64`; empty ones stay empty.
    [[nodiscard]] Parameters seal(const config::App& app, Parameters parameters) const;

    struct Opened {
        Parameters parameters;   ///< without those that could not be opened
        std::string unreadable;  ///< why some could not; empty when all could
    };
    /// The opposite. Does not throw: what a switch has begun is finished or undone without a password, too.
    [[nodiscard]] Opened open(const config::App& app, const Parameters& parameters) const;

  private:
    [[nodiscard]] std::string open_one(const config::App& app, const std::string& name, std::string_view value) const;

    std::shared_ptr<net::ClusterKeyRing> keys_;
    NodeName self_;
    const Clock& clock_;
};

/// For people: `****` for every password that was given.
[[nodiscard]] Parameters without_secrets(const config::App* app, Parameters parameters);

}  // namespace baton::engine
