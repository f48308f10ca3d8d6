// SPDX-License-Identifier: MIT
// agent.yaml: what is read, what is made of it for one node, and on what peers must agree.
#include <catch2/catch.hpp>
#include <filesystem>

#include "common/config/load.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/config/samples.h"

using namespace baton;
using namespace baton::config;
using namespace std::chrono_literals;

namespace {

std::string hash_with(std::string text, const std::string& from, const std::string& to) {
    const auto at = text.find(from);
    REQUIRE(at != std::string::npos);
    text.replace(at, from.size(), to);
    return parse_agent_config(text, "agent.yaml").hash;
}

}  // namespace

TEST_CASE("config: the smallest agent.yaml gets the documented defaults") {
    const AgentConfig config = parse_agent_config(
        test::small_agent + "apps:\n  shop:\n    repository: https://git.example.com/shop.git\n", "agent.yaml");
    CHECK(config.state_dir == "/var/lib/baton");
    CHECK(config.executors == 2);
    REQUIRE(config.nodes.size() == 3);
    CHECK(config.nodes[1].address.text() == "10.0.0.12:7070");
    CHECK(config.traffic.method == TrafficMethod::none);
    const App& app = config.app(AppName("shop"));
    CHECK(app.branch == "main");
    CHECK(app.pipeline == "baton.yaml");
    CHECK(app.rollout.max_unavailable.of(3) == 1);
    CHECK(app.rollout.prepare_ahead == 0U);
    CHECK_FALSE(app.triggers.poll_interval.has_value());
    CHECK(config.warnings.empty());
    CHECK(config.hash.size() == 64);
}

TEST_CASE("config: every key of agent.yaml is read") {
    const AgentConfig config = parse_agent_config(test::full_agent, "agent.yaml");
    CHECK(config.executors == 3);
    CHECK(config.public_url == "https://baton.example.com");
    REQUIRE(config.nodes.size() == 4);
    CHECK(config.nodes[1].address.host == "fd00::12");
    CHECK(config.nodes[1].address.text() == "[fd00::12]:7070");
    CHECK(config.nodes[2].jenkins->job == "${APP}");
    CHECK(config.nodes[2].jenkins->timeout == 20min);
    CHECK(config.nodes[2].jenkins->accept_unstable);
    CHECK(config.nodes[2].jenkins->ca_file == "/tls/jenkins-ca");
    CHECK(config.nodes[3].role == NodeRole::witness);
    CHECK(config.security.anonymous == Anonymous::read);
    CHECK(config.security.tls->ca_file == "/tls/ca");
    CHECK(config.traffic.drain_timeout == 60s);
    CHECK(config.traffic.settle == 500ms);
    CHECK(config.traffic.cut);
    CHECK(config.traffic.haproxy_sockets == std::vector<std::string>{"/run/haproxy.sock", "10.0.0.1:9999"});
    CHECK(config.traffic.leave_command == "echo leave\necho done\n");
    const App& app = config.app(AppName("shop"));
    CHECK(app.triggers.poll_interval == 90s);
    CHECK(app.triggers.webhook_secret_files.size() == 2);
    CHECK(app.rollout.max_unavailable.of(8) == 2);
    CHECK(app.rollout.max_unavailable.of(3) == 1);
    CHECK_FALSE(app.rollout.prepare_ahead.has_value());
    CHECK(app.rollout.on_failure == OnFailure::rollback);
    CHECK(app.parameters[0].default_value == "low");
    CHECK(app.max_log_bytes == 1024 * 1024);
    CHECK(config.traffic_of(app).method == TrafficMethod::none);
}

TEST_CASE("config: a node's own configuration has its variables expanded") {
    AgentConfig config = parse_agent_config(test::full_agent, "agent.yaml");
    CHECK(config.state_dir == "/srv/baton/${NODE_NAME}");
    bind_to_node(config, NodeName("web1"));
    CHECK(config.self.str() == "web1");
    CHECK(config.state_dir == "/srv/baton/web1");
    CHECK(config.app(AppName("shop")).deploy_to == "/srv/shop/web1");
    CHECK(config.traffic.agent_check_listen->text() == "10.0.0.11:7071");
    CHECK(config.traffic.haproxy_server == "shop/web1");
    CHECK(config.traffic.in_flight_host == "10.0.0.11");
    // The section for all apps names the app: so each app without a section of its own gets one.
    CHECK(config.traffic_of(config.app(AppName("blog"))).file == "/run/baton/blog.out");
    CHECK(config.traffic_of(config.app(AppName("shop"))).method == TrafficMethod::none);
}

TEST_CASE("config: binding to a node that the chain does not have names the ones it has") {
    AgentConfig config = parse_agent_config(test::small_agent, "agent.yaml");
    CHECK_THROWS_WITH(bind_to_node(config, NodeName("wbe1")),
                      "the chain has no node 'wbe1' (known: web1, web2, web3; did you mean 'web1'?)");
}

TEST_CASE("config: an unknown app is answered with the known ones") {
    const AgentConfig config = parse_agent_config(test::full_agent, "agent.yaml");
    CHECK_THROWS_WITH(config.app(AppName("shpo")),
                      "no app 'shpo' is configured (known: blog, shop; did you mean 'shop'?)");
}

TEST_CASE("config: the hash covers what peers must agree on and nothing else") {
    const std::string hash = parse_agent_config(test::full_agent, "agent.yaml").hash;
    CHECK(hash_with(test::full_agent, "max_unavailable: 25%", "max_unavailable: 2") != hash);
    CHECK(hash_with(test::full_agent, "{name: judge, address: \"judge.example.com:7070\", role: witness}",
                    "{name: judge, address: \"judge.example.com:7070\"}") != hash);
    CHECK(hash_with(test::full_agent, "branch: release/2", "branch: release/3") != hash);
    CHECK(hash_with(test::full_agent, "  blog:", "  blag:") != hash);
    // Order of keys, comments and what concerns one machine only are no disagreement.
    CHECK(hash_with(test::full_agent, "executors: 3", "executors: 4 # more") == hash);
    CHECK(hash_with(test::full_agent, "keep_builds: 70", "keep_builds: 71") == hash);
    AgentConfig bound = parse_agent_config(test::full_agent, "agent.yaml");
    bind_to_node(bound, NodeName("web2"));
    CHECK(bound.hash == hash);
}

TEST_CASE("config: two members without a witness are warned of, not refused") {
    const AgentConfig config = parse_agent_config(
        "chain:\n  nodes:\n    - {name: a, address: \"10.0.0.1:1\"}\n    - {name: b, address: "
        "\"10.0.0.2:1\"}\n"
        "security: {cluster_key_file: /k}\n",
        "agent.yaml");
    REQUIRE(config.warnings.size() == 1);
    CHECK(config.warnings[0].text().starts_with("agent.yaml:2:3: two members and no witness:"));
}

TEST_CASE("config: a file on the disk is read, a missing and an oversized one are refused") {
    const baton::test::TempDir dir;
    const auto path = dir.write("agent.yaml", test::small_agent);
    CHECK(load_agent_config(path).nodes.size() == 3);
    CHECK_THROWS_AS(load_agent_config(dir / "missing.yaml"), Error);
    const auto large = dir.write("large.yaml", test::small_agent + "# " + std::string(most_config_bytes, 'x') + "\n");
    try {
        static_cast<void>(load_agent_config(large));
        FAIL("an oversized file was read");
    } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::too_large);
    }
}

TEST_CASE("config: the effective configuration reads back to the same values") {
    for (const auto& text : {test::small_agent, test::full_agent}) {
        const AgentConfig config = parse_agent_config(text, "agent.yaml");
        const std::string printed = to_yaml(config);
        INFO(printed);
        const AgentConfig again = parse_agent_config(printed, "printed.yaml");
        CHECK(to_yaml(again) == printed);
        CHECK(again.hash == config.hash);
        CHECK(again.traffic.leave_command == config.traffic.leave_command);
    }
}

TEST_CASE("config: the kind of a file is told by its keys") {
    CHECK(detect_kind(test::full_agent) == FileKind::agent);
    CHECK(detect_kind(test::full_pipeline) == FileKind::pipeline);
    CHECK_FALSE(detect_kind("hello: world\n").has_value());
    CHECK_FALSE(detect_kind("test: [").has_value());
}

TEST_CASE(
    "config: a node that is still a Jenkins needs no address, is no member, and belongs to the member before it") {
    const std::string nodes = R"(
    - {name: web1, address: "10.0.0.11:7070"}
    - {name: watch, address: "10.0.0.20:7070", role: witness}
    - {name: old1, jenkins: {url: "https://ci.example.com/jenkins", job: "shop/deploy"}}
    - {name: old2, jenkins: {url: "http://10.0.0.14:8080", job: "deploy"}}
    - {name: web2, address: "10.0.0.12:7070"}
    - {name: old3, jenkins: {url: "http://10.0.0.14:8080", job: "${APP}"}}
)";
    const auto text = [&](const std::string& apps) {
        return "chain:\n  nodes:" + nodes + "security: {cluster_key_file: /etc/baton/cluster.key}\napps:\n" + apps;
    };
    const std::string shop = "  shop: {repository: https://git.example.com/shop.git, deploy_to: /srv/shop}\n";
    const AgentConfig config = parse_agent_config(text(shop), "agent.yaml");
    CHECK(config.nodes[2].address.text() == "ci.example.com:443");
    CHECK(config.nodes[3].address.text() == "10.0.0.14:8080");
    CHECK(config.agents() == 3);
    CHECK(config.warnings.empty());  // two members, and a witness
    const auto names = [&](const char* member) {
        std::vector<std::string> found;
        for (const auto* node : config.neighbours_of(NodeName(member))) found.push_back(node->name.str());
        return found;
    };
    CHECK(names("web1") == std::vector<std::string>{"old1", "old2"});
    CHECK(names("web2") == std::vector<std::string>{"old3"});
    CHECK(names("watch").empty());
    CHECK(names("old1").empty());
    const std::string docs = "  docs: {repository: https://git.example.com/docs.git, deploy_to: /srv/docs}\n";
    CHECK_THROWS_WITH(parse_agent_config(text(shop + docs), "agent.yaml"),
                      Catch::Contains("2 apps would all trigger the job 'shop/deploy' of node 'old1'"));
}

TEST_CASE("config: the examples of a chain are accepted, and none of them warns") {
    std::size_t found = 0;
    for (const auto& entry : std::filesystem::directory_iterator(SOURCE_DIR "/examples/chain")) {
        if (entry.path().extension() != ".yaml") continue;
        INFO(entry.path().string());
        CHECK(load_agent_config(entry.path()).warnings.empty());
        ++found;
    }
    CHECK(found >= 2);
}
