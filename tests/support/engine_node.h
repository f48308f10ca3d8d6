// SPDX-License-Identifier: MIT
// What a real engine stands on in a test: a node's configuration and store in a directory of its own, and its keys.
#pragma once

#include <memory>
#include <optional>

#include "agent/engine/engine.h"
#include "agent/engine/parameter_seal.h"
#include "agent/store/store.h"
#include "common/net/peer_signing.h"
#include "tests/support/temp_dir.h"

namespace baton::test {

/// web1, at first the only node. The apps are for the test to add, and then the parts to make, in their order here.
struct EngineNode {
    EngineNode() {
        std::filesystem::create_directories(dir / "state");
        config.state_dir = dir / "state";
        config.self = NodeName("web1");
        config::Node self;
        self.name = config.self;
        self.address = {"127.0.0.1", 7070};
        config.nodes = {self};
    }

    TempDir dir;
    config::AgentConfig config;
    SystemClock clock;
    net::ClusterKeys keys = net::ClusterKeys::parse(net::generate_key_line(from_epoch_ms(0)));
    net::PeerSigner signer{keys, NodeName("web1"), clock};
    engine::ParameterSeal seal{std::make_shared<net::ClusterKeyRing>(keys), NodeName("web1"), clock};
    std::optional<store::Store> store;
    std::optional<engine::Outbox> outbox;
    std::optional<engine::ServiceStates> services;
    std::optional<engine::Engine> engine;
};

}  // namespace baton::test
