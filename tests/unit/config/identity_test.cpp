// SPDX-License-Identifier: MIT
// A node finds itself in a file that is the same everywhere.
#include "common/config/identity.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>

#include "common/config/load.h"
#include "common/error.h"
#include "tests/unit/config/samples.h"

using namespace baton;
using namespace baton::config;

namespace {

AgentConfig chain_of(const std::string& nodes) {
    return parse_agent_config("security: {cluster_key_file: /k}\nchain:\n  nodes:\n" + nodes, "agent.yaml");
}

/// BATON_NODE for as long as the test runs.
class NodeVariable {
  public:
    explicit NodeVariable(const char* value) { ::setenv("BATON_NODE", value, 1); }
    NodeVariable(const NodeVariable&) = delete;
    NodeVariable& operator=(const NodeVariable&) = delete;
    ~NodeVariable() { ::unsetenv("BATON_NODE"); }
};

}  // namespace

TEST_CASE("identity: an interface address finds the node") {
    const AgentConfig config = parse_agent_config(test::small_agent, "agent.yaml");
    CHECK(find_self(config, {{"127.0.0.1", "10.0.0.12"}, "whatever"}).str() == "web2");
    const AgentConfig six = chain_of(
        "    - {name: a, address: \"[fd00::1]:1\"}\n    - {name: b, address: \"[fd00::2]:1\"}\n"
        "    - {name: c, address: \"[fd00::3]:1\"}\n");
    CHECK(find_self(six, {{"fd00:0:0::2"}, "x"}).str() == "b");
}

TEST_CASE("identity: the host name finds the node where no address does") {
    const AgentConfig config = parse_agent_config(test::small_agent, "agent.yaml");
    CHECK(find_self(config, {{"192.168.0.1"}, "web3"}).str() == "web3");
    CHECK(find_self(config, {{"192.168.0.1"}, "WEB3.example.com"}).str() == "web3");
    const AgentConfig names = chain_of(
        "    - {name: a, address: \"shop1.example.com:1\"}\n    - {name: b, address: "
        "\"shop2.example.com:1\"}\n"
        "    - {name: c, address: \"shop3.example.com:1\"}\n");
    CHECK(find_self(names, {{}, "shop2"}).str() == "b");
    CHECK(find_self(names, {{}, "shop2.example.com"}).str() == "b");
    CHECK_THROWS_AS(find_self(names, {{}, "shop2.example.org"}), Error);
}

TEST_CASE("identity: an address counts more than a name") {
    const AgentConfig config = parse_agent_config(test::small_agent, "agent.yaml");
    CHECK(find_self(config, {{"10.0.0.11"}, "web3"}).str() == "web1");
}

TEST_CASE("identity: several nodes on one machine are told apart by name, or not at all") {
    const AgentConfig config = chain_of(
        "    - {name: a, address: \"10.0.0.1:1\"}\n    - {name: b, address: \"10.0.0.1:2\"}\n"
        "    - {name: c, address: \"10.0.0.2:1\"}\n");
    CHECK(find_self(config, {{"10.0.0.1"}, "b"}).str() == "b");
    try {
        static_cast<void>(find_self(config, {{"10.0.0.1"}, "c"}));
        FAIL("one of two was chosen");
    } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::conflict);
        CHECK(error.text() ==
              "this machine could be 2 of the chain's nodes: a, b\n"
              "  this machine: host name 'c', addresses 10.0.0.1\n"
              "  node 'a': address 10.0.0.1:1\n"
              "  node 'b': address 10.0.0.1:2\n"
              "  node 'c': address 10.0.0.2:1\n"
              "Say which one it is with --node NAME or BATON_NODE.");
    }
}

TEST_CASE("identity: a host name that could be two nodes is refused as well") {
    const AgentConfig config = chain_of(
        "    - {name: web.north, address: \"10.0.0.1:1\"}\n    - {name: web.south, address: \"10.0.0.2:1\"}\n"
        "    - {name: db, address: \"10.0.0.3:1\"}\n");
    CHECK_THROWS_WITH(find_self(config, {{"192.168.0.1"}, "web"}),
                      Catch::StartsWith("this machine could be 2 of the chain's nodes: web.north, web.south\n"));
    CHECK(find_self(config, {{"192.168.0.1"}, "web.south"}).str() == "web.south");
}

TEST_CASE("identity: no match lists what was compared") {
    const AgentConfig config = parse_agent_config(test::small_agent, "agent.yaml");
    try {
        static_cast<void>(find_self(config, {{"192.168.7.7"}, "laptop"}));
        FAIL("a stranger was taken for a node");
    } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::not_found);
        CHECK(error.text().find("host name 'laptop', addresses 192.168.7.7") != std::string::npos);
        CHECK(error.text().find("node 'web2': address 10.0.0.12:7070") != std::string::npos);
    }
}

TEST_CASE("identity: the argument counts more than BATON_NODE, and both more than the machine") {
    const AgentConfig config = parse_agent_config(test::small_agent, "agent.yaml");
    CHECK(identify(config, "web2").str() == "web2");
    const NodeVariable variable("web3");
    CHECK(identify(config, std::nullopt).str() == "web3");
    CHECK(identify(config, "web1").str() == "web1");
    CHECK_THROWS_WITH(identify(config, "web9"),
                      "--node: the chain has no node 'web9' (known: web1, web2, web3; did you mean 'web1'?)");
}

TEST_CASE("identity: this machine has a name and the loopback address") {
    const Machine machine = this_machine();
    CHECK_FALSE(machine.host_name.empty());
    CHECK(std::ranges::find(machine.addresses, "127.0.0.1") != machine.addresses.end());
}

TEST_CASE("identity: an agent may listen elsewhere than its peers call it, and they need not agree on where") {
    const std::string text = R"(chain: {nodes: [{name: web1, address: "10.0.0.11:7070"}]}
security: {cluster_key_file: /etc/baton/cluster.key}
)";
    auto config = config::parse_agent_config(text + "listen: \"${NODE_ADDRESS}:7072\"\n", "agent.yaml");
    config::bind_to_node(config, NodeName("web1"));
    CHECK(config.listen->text() == "10.0.0.11:7072");
    CHECK(config.hash == config::parse_agent_config(text, "agent.yaml").hash);
    CHECK_THROWS_WITH(config::parse_agent_config(text + "listen: \"${HOME}:7072\"\n", "agent.yaml"),
                      Catch::Contains("HOME"));
}
