// SPDX-License-Identifier: MIT
// What an agent says to its peers: signed, in order, and no dead peer delays a live one.
#include <atomic>
#include <catch2/catch.hpp>
#include <mutex>

#include "agent/engine/outbox.h"
#include "agent/engine/slots.h"
#include "agent/http/server/server.h"
#include "common/clock.h"
#include "common/error.h"
#include "tests/support/eventually.h"

using namespace baton;
using namespace std::chrono_literals;

namespace {

net::ClusterKeys keys() { return net::ClusterKeys::parse(net::generate_key_line(from_epoch_ms(0))); }

/// A peer that checks signatures and keeps what it was told.
class Peer {
  public:
    Peer(const net::ClusterKeys& cluster_keys, const Clock& clock, NodeName name)
        : verifier_(cluster_keys, std::move(name), clock), server_({}, [this](http::Request&& request) {
              const auto from = verifier_.verify(request.method, request.target, request.body, request.headers);
              const std::lock_guard lock(mutex_);
              heard_.push_back(from.str() + " " + request.target + " " + request.body);
              return http::Response::json_text("{}", 202);
          }) {
        server_.start();
    }
    [[nodiscard]] std::uint16_t port() const { return server_.port(); }
    [[nodiscard]] std::vector<std::string> heard() {
        const std::lock_guard lock(mutex_);
        return heard_;
    }

  private:
    net::PeerVerifier verifier_;
    std::mutex mutex_;
    std::vector<std::string> heard_;
    http::Server server_;
};

config::Node node(const std::string& name, const std::string& host, std::uint16_t port) {
    config::Node made;
    made.name = NodeName(name);
    made.address = {host, port};
    return made;
}

}  // namespace

TEST_CASE("outbox: letters reach a peer signed and in order, and their answers come back") {
    const SystemClock clock;
    const auto cluster = keys();
    Peer web2(cluster, clock, NodeName("web2"));
    config::AgentConfig config;
    config.self = NodeName("web1");
    config.nodes = {node("web1", "127.0.0.1", 1), node("web2", "127.0.0.1", web2.port())};
    const net::PeerSigner signer(cluster, config.self, clock);
    std::atomic<int> answers{0};
    engine::Outbox outbox(config, signer);
    std::vector<std::string> expected;
    for (int i = 0; i < 50; ++i) {
        outbox.post(NodeName("web2"), "/peer/v1/chain/shop", std::to_string(i), [&](const engine::PeerAnswer& answer) {
            if (answer && answer->status == 202) ++answers;
        });
        expected.push_back("web1 /peer/v1/chain/shop " + std::to_string(i));
    }
    REQUIRE(test::eventually([&] { return answers == 50; }));
    CHECK(web2.heard() == expected);
    outbox.stop();
}

TEST_CASE("outbox: a peer that is down delays no other, and what was said to it is answered with nothing") {
    const SystemClock clock;
    const auto cluster = keys();
    Peer web3(cluster, clock, NodeName("web3"));
    config::AgentConfig config;
    config.self = NodeName("web1");
    // Nobody listens on port 1: refused at once. 192.0.2.1 would be a black hole, but tests stay on loopback.
    config.nodes = {node("web1", "127.0.0.1", 2), node("web2", "127.0.0.1", 1), node("web3", "127.0.0.1", web3.port())};
    const net::PeerSigner signer(cluster, config.self, clock);
    std::atomic<int> refused{0};
    engine::Outbox outbox(config, signer);
    outbox.post(NodeName("web2"), "/x", "a", [&](const engine::PeerAnswer& answer) {
        if (!answer) ++refused;
    });
    for (int i = 0; i < 10; ++i) outbox.post(NodeName("web3"), "/x", "b", nullptr);
    CHECK(test::eventually([&] { return web3.heard().size() == 10; }));
    CHECK(test::eventually([&] { return refused == 1; }));
    outbox.stop();
}

TEST_CASE("outbox: a letter signed for one peer is refused by another") {
    const SystemClock clock;
    const auto cluster = keys();
    Peer web3(cluster, clock, NodeName("web3"));
    config::AgentConfig config;
    config.self = NodeName("web1");
    // The configuration is wrong: web2's address is web3's.
    config.nodes = {node("web1", "127.0.0.1", 2), node("web2", "127.0.0.1", web3.port())};
    const net::PeerSigner signer(cluster, config.self, clock);
    const engine::Outbox outbox(config, signer);
    CHECK(outbox.call(NodeName("web2"), "POST", "/x", "body", 60s).status == 401);
    CHECK(web3.heard().empty());
}

TEST_CASE("slots: no more than the places, and a stop ends the wait") {
    engine::Slots slots(1);
    std::stop_source stop;
    {
        const auto first = slots.take(stop.get_token());
        REQUIRE(first.granted());
        std::atomic<bool> second_granted{true};
        std::jthread waiter([&] { second_granted = slots.take(stop.get_token()).granted(); });
        stop.request_stop();
        waiter.join();
        CHECK_FALSE(second_granted);
    }
    std::stop_source again;
    CHECK(slots.take(again.get_token()).granted());
}
