// SPDX-License-Identifier: MIT
// What another agent of the chain may ask. Bodies go through as text: their words belong to the protocol.
#pragma once

#include <string>
#include <string_view>

#include "common/types.h"

namespace baton::engine {
class Engine;
}

namespace baton::operations {

/// Any thread. Error(invalid) for a malformed body, not_found for an unknown app, busy or io when it was not stored.
class Peers {
  public:
    explicit Peers(engine::Engine& engine) : engine_(engine) {}
    /// Messages and progress in, what they cause for the sender out; stored when it returns. `address`: whence.
    [[nodiscard]] std::string exchange(const AppName& app, const NodeName& from, const std::string& address,
                                       std::string_view body);
    /// The same for a handoff; `already` says whether this rollout was known here before.
    [[nodiscard]] std::string handoff(const AppName& app, const NodeName& from, const std::string& address,
                                      std::string_view body);
    /// `{"want":COMMIT,"have":[…]}` as a git pack.
    [[nodiscard]] std::string pack(const AppName& app, std::string_view body) const;

  private:
    engine::Engine& engine_;
};

}  // namespace baton::operations
