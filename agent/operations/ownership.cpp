// SPDX-License-Identifier: MIT
// Whose a trigger is: who may trigger may also take back what was triggered in their name, and nobody else's.
#include <algorithm>

#include "agent/operations/operations.h"
#include "agent/store/store.h"

namespace baton::operations {
namespace {

/// A login of that name. A pusher whom a forge names, or a node, is somebody else of the same name.
bool all_by(const std::vector<wire::Cause>& causes, const std::string& who) {
    return !causes.empty() && std::ranges::all_of(causes, [&](const wire::Cause& cause) {
        return cause.kind == wire::CauseKind::user && cause.who == who;
    });
}

}  // namespace

bool Operations::is_own_item(std::uint64_t id, const std::string& who) const {
    return all_by(queue_item(id).causes, who);
}

bool Operations::is_own_build(const AppName& app, unsigned number, const std::string& who) const {
    const auto build = this->build(app, number);
    // Others may have asked for the same meanwhile, and joined the rollout.
    const auto items = store_.queue.of_rollout(app, build.target.key.id);
    return all_by(build.causes, who) &&
           std::ranges::all_of(items, [&](const store::QueueItem& item) { return all_by(item.causes, who); });
}

}  // namespace baton::operations
