// SPDX-License-Identifier: MIT
// What a load balancer may ask.
#include "agent/operations/service.h"

#include "agent/engine/service_states.h"

namespace baton::operations {

bool Service::readiness(const AppName& app, const std::string& address) {
    auto& state = states_.of(app);
    const auto answer = state.answer();
    state.count_poll(build::PollSource::readiness, address, answer);
    return answer.ready;
}

}  // namespace baton::operations
