// SPDX-License-Identifier: MIT
// What a load balancer may ask: is this node in service for an app? Each answer given counts as noticed.
#pragma once

#include <string>

#include "common/types.h"

namespace baton::engine {
class ServiceStates;
}

namespace baton::operations {

/// Any thread; never waits for the engine: a load balancer's check must not depend on how busy the agent is.
class Service {
  public:
    explicit Service(engine::ServiceStates& states) : states_(states) {}
    /// Whether the app is in service here, told to a poller at `address`. Error(not_found).
    [[nodiscard]] bool readiness(const AppName& app, const std::string& address);

  private:
    engine::ServiceStates& states_;
};

}  // namespace baton::operations
