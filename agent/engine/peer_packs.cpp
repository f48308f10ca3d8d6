// SPDX-License-Identifier: MIT
// A commit's objects from the peers.
#include "agent/engine/peer_packs.h"

#include <string>
#include <vector>

#include "agent/engine/peer_wire.h"
#include "agent/engine/settings.h"
#include "common/error.h"
#include "common/git/repository.h"
#include "common/log.h"

namespace baton::engine {
namespace {

constexpr std::chrono::seconds pack_deadline{60};

}  // namespace

bool fetch_from_peers(const config::AgentConfig& config, const config::App& app, store::Store& store, Outbox& outbox,
                      const Clock& clock, const CommitId& commit) {
    const auto mirror = mirror_of(config, app);
    mirror.ensure_exists({}, clock.now() + pack_deadline);
    git::Repository repository(mirror.path());
    std::vector<std::string> have;
    for (const auto& record : store.builds.list(app.name, 5)) {
        // A build that has begun does not say that its commit is here: it may be the very one that is missing.
        if (repository.has_commit(record.commit)) have.push_back(record.commit.str());
    }
    for (const auto& node : config.nodes) {
        if (node.name == config.self || node.jenkins) continue;
        try {
            const auto answer =
                outbox.call(node.name, "POST", pack_target(app.name), pack_question(commit, have), pack_deadline);
            if (!answer.ok()) continue;
            repository.add_pack(answer.body, commit);
            log::info("git", "commit came from a peer", {{"app", app.name}, {"commit", commit}, {"peer", node.name}});
            return true;
        } catch (const Error& error) {
            log::warning("git", "peer cannot hand over the commit", {{"peer", node.name}, {"reason", error.text()}});
        }
    }
    return false;
}

}  // namespace baton::engine
