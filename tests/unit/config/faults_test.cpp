// SPDX-License-Identifier: MIT
// What a wrong file is told: place, what was found, what is expected, and all of it at once.
#include <catch2/catch.hpp>

#include "common/config/load.h"
#include "tests/unit/config/samples.h"

using namespace baton;
using namespace baton::config;

namespace {

std::string agent_report(const std::string& text) {
    return test::report_of([&] { return parse_agent_config(text, "agent.yaml"); });
}

/// The report for an app with these lines beside a good repository.
std::string app_report(const std::string& lines) {
    return agent_report(test::small_agent + "apps:\n  shop:\n    repository: https://git.example.com/shop.git\n" +
                        lines);
}

}  // namespace

TEST_CASE("config: all faults of a file come in one report, in the order of the file") {
    const std::string report = agent_report(R"(state_dir: var/baton
excutors: 2
chain:
  nodes:
    - {name: web1, adress: "10.0.0.11:7070"}
    - {name: Web2, address: "10.0.0.12"}
    - {name: web1, address: "10.0.0.13:7070"}
security:
  tokens_file: /etc/baton/tokens
  cluster_key: abc
traffic:
  drain_timeout: 10 minutes
  cut: yes
apps:
  shop:
    branch: main
    rollout:
      max_unavailable: 0
      on_failure: rolback
)");
    CHECK(report == R"(agent.yaml:1:12: 'state_dir' must be an absolute path, got 'var/baton'
agent.yaml:2:1: unknown key 'excutors' in agent.yaml (did you mean 'executors'?)
agent.yaml:5:7: node 1 has no 'address', expected the host:port that its agent listens on, such as "10.0.0.11:7070"
agent.yaml:5:20: unknown key 'adress' in node 1 (did you mean 'address'?)
agent.yaml:6:14: 'Web2' is not a name for a node (write small letters, digits, '.', '_', '-', at most 63)
agent.yaml:6:29: 'address': '10.0.0.12' is not host:port (write "10.0.0.11:7070", "[fd00::1]:7070")
agent.yaml:7:7: the name 'web1' is already that of node 1 in line 5
agent.yaml:8:1: 'security' has no 'cluster_key_file', expected the file of the key that signs what agents say (make one with: baton keygen)
agent.yaml:10:3: unknown key 'cluster_key' in 'security': a secret never stands in this file, write it to a file and name that in 'cluster_key_file'
agent.yaml:12:18: 'drain_timeout': '10 minutes' is not a duration (write 10m, 90s, 1h30m)
agent.yaml:13:8: 'cut': 'yes' is not true or false (write true)
agent.yaml:15:3: app 'shop' has no 'repository', expected the URL of its git repository
agent.yaml:18:24: 'max_unavailable' must be a whole number of 1 or more or a share such as 25%, got '0'
agent.yaml:19:19: 'on_failure' must be one of halt, rollback, got 'rolback' (did you mean 'rollback'?))");
}

TEST_CASE("config: the faults are offered as values as well") {
    try {
        static_cast<void>(parse_agent_config("chain: 3\nsecurity: {cluster_key_file: /k}\n", "agent.yaml"));
        FAIL("a chain that is a number was accepted");
    } catch (const ConfigError& error) {
        CHECK(error.kind() == ErrorKind::invalid);
        REQUIRE(error.faults().size() == 1);
        CHECK(error.faults()[0] == Fault{"agent.yaml", 1, 8, "'chain' must be a map of keys and values, got '3'"});
    }
}

TEST_CASE("config: a file that is no YAML is told where it ceases to be") {
    CHECK(agent_report("a: [1, 2\nb: 3\n").starts_with("agent.yaml:2:"));
    CHECK(agent_report("chain:\n\tnodes: 3\n").find("a tab cannot indent") != std::string::npos);
    CHECK(agent_report("") == "agent.yaml:1:1: the file is empty");
    CHECK(agent_report("# only a comment\n") == "agent.yaml:1:1: the file is empty");
    CHECK(agent_report("- a\n- b\n") == "agent.yaml:1:1: expected keys with values, such as 'name: value'");
    CHECK(agent_report("state_dir: /a\xff\n") == "agent.yaml:1:1: this line is not UTF-8");
    CHECK(agent_report("executors: 1\nstate_dir: \"/a\\0b\"\n").find("NUL") != std::string::npos);
}

TEST_CASE("config: duplicate keys, anchors, aliases, tags and second documents are refused") {
    CHECK(agent_report(test::small_agent + "executors: 1\nexecutors: 2\n") ==
          "agent.yaml:9:1: the key 'executors' comes twice, first in line 8");
    const std::string anchored = agent_report(test::small_agent + "traffic: &t {method: none}\n");
    CHECK(anchored.find("an anchor ('&') is not allowed here") != std::string::npos);
    const std::string alias = agent_report(test::small_agent + "state_dir: &a /x\npublic_url: *a\n");
    CHECK(alias.find("agent.yaml:9:13: an alias ('*') is not allowed here") != std::string::npos);
    CHECK(agent_report(test::small_agent + "executors: !!int 2\n").find("a tag (") != std::string::npos);
    CHECK(agent_report(test::small_agent + "---\nexecutors: 2\n").find("a second document begins here") !=
          std::string::npos);
}

TEST_CASE("config: bombs are refused quickly") {
    CHECK(agent_report("a: " + std::string(20'000, '[')).find("nested deeper than 32 levels") != std::string::npos);
    CHECK(agent_report("a: " + std::string(20'000, '{')).find("deeper") != std::string::npos);
    CHECK(agent_report("#" + std::string(most_config_bytes, 'x')).find("at most 262144 are read") != std::string::npos);
    std::string many;
    for (int i = 0; i < 5'000; ++i) many += "key" + std::to_string(i) + ": 1\n";
    const std::string report = agent_report(many);
    CHECK(report.find("… and 49") != std::string::npos);
    CHECK(report.size() < 20'000);
}

TEST_CASE("config: a value of the wrong type is told by its key and what it is") {
    CHECK(agent_report(test::small_agent + "executors: [1]\n") ==
          "agent.yaml:8:1: 'executors' must be a whole number, got a list");
    CHECK(agent_report(test::small_agent + "executors: two\n") ==
          "agent.yaml:8:12: 'executors' must be a whole number of 1 to 256, got 'two'");
    CHECK(agent_report(test::small_agent + "executors: \"2\"\n") ==
          "agent.yaml:8:12: 'executors' must be a whole number of 1 to 256, got '2'");
    CHECK(agent_report(test::small_agent + "executors:\n") ==
          "agent.yaml:8:1: 'executors' has no value (leave the key out for its default)");
    CHECK(agent_report(test::small_agent + "apps:\n  shop:\n") ==
          "agent.yaml:9:3: app 'shop' must be a map of keys and values, got nothing");
    CHECK(app_report("    keep_builds: -1\n").find("'keep_builds' must be a whole number of 1 to 100000, got '-1'") !=
          std::string::npos);
    CHECK(app_report("    max_log_bytes: 64 MB\n").find("'64 MB' is not a size (write 64MiB, 512KiB)") !=
          std::string::npos);
    CHECK(app_report("    triggers: {poll_interval: 30}\n").find("'30' is not a duration") != std::string::npos);
    CHECK(app_report("    triggers: {poll_interval: 1ms}\n").find("must be 1s or more") != std::string::npos);
    CHECK(app_report("    rollout: {max_unavailable: 101%}\n").find("'max_unavailable' must be") != std::string::npos);
    CHECK(app_report("    rollout: {max_unavailable: 0%}\n").find("'max_unavailable' must be") != std::string::npos);
}

TEST_CASE("config: load balancers are a number or a list of addresses") {
    const auto report = [](const std::string& value) {
        return agent_report(test::small_agent + "traffic: {load_balancers: " + value + "}\n");
    };
    CHECK(report("[10.0.0.5, lb1]").find("item 2 must be an IP address, got 'lb1'") != std::string::npos);
    CHECK(report("[10.0.0.5, 10.0.0.5]").find("10.0.0.5 is there twice") != std::string::npos);
    CHECK(report("[]").find("names none") != std::string::npos);
    CHECK(report("0").find("'load_balancers'") != std::string::npos);
    const auto named = parse_agent_config(
        test::small_agent + "traffic: {load_balancers: [10.0.0.5, \"FD00:0::5\", 10.0.0.6]}\n", "agent.yaml");
    CHECK(named.traffic.load_balancers == 3);
    CHECK(named.traffic.load_balancer_addresses == std::vector<std::string>{"10.0.0.5", "fd00::5", "10.0.0.6"});
}

TEST_CASE("config: a secret that stands in the file is refused without being repeated") {
    const std::string password = app_report("    credentials: {username: a, password: s3cret}\n");
    CHECK(password.find("write it to a file and name that in 'password_file'") != std::string::npos);
    CHECK(password.find("s3cret") == std::string::npos);
    const std::string url =
        agent_report(test::small_agent + "apps:\n  shop:\n    repository: https://a:s3cret@git/shop.git\n");
    CHECK(url.find("https://***@git/shop.git") != std::string::npos);
    CHECK(url.find("s3cret") == std::string::npos);
    CHECK(app_report("    triggers: {token: abc}\n").find("'token_file'") != std::string::npos);
}

TEST_CASE("config: what git or a shell could misread is refused") {
    CHECK(agent_report(test::small_agent + "apps:\n  shop:\n    repository: --upload-pack=x\n")
              .find("git would read an option") != std::string::npos);
    CHECK(app_report("    branch: --all\n").find("is not the name of a branch") != std::string::npos);
    CHECK(app_report("    branch: a..b\n").find("is not the name of a branch") != std::string::npos);
    CHECK(app_report("    pipeline: ../baton.yaml\n").find("without '..'") != std::string::npos);
    CHECK(app_report("    deploy_to: srv/shop\n").find("must be an absolute path") != std::string::npos);
    CHECK(app_report("    deploy_to: /srv/${NODE}\n")
              .find("unknown variable '${NODE}', expected one of NODE_NAME, APP") != std::string::npos);
}

TEST_CASE("config: what no section can see by itself is checked over the whole file") {
    CHECK(agent_report(test::small_agent + R"(apps:
  a: {repository: /r, deploy_to: /srv/x}
  b: {repository: /r, deploy_to: /srv/./x}
)")
              .find("apps 'a' and 'b' both have 'deploy_to: /srv/x'") != std::string::npos);
    CHECK(app_report("    rollout: {min_healthy: 3}\n").find("can never be met by 3 nodes") != std::string::npos);
    CHECK(agent_report(test::small_agent + "traffic: {method: haproxy_agent}\n").find("needs 'agent_check_listen'") !=
          std::string::npos);
    const AgentConfig all = parse_agent_config(
        test::small_agent + "apps:\n  shop:\n    repository: /r\n    rollout: {max_unavailable: 3}\n", "agent.yaml");
    REQUIRE(all.warnings.size() == 1);
    CHECK(all.warnings[0].message.find("lets all 3 nodes be out of service at once") != std::string::npos);
}

TEST_CASE("config: two nodes never share an address, and none listens everywhere") {
    const std::string head =
        "security: {cluster_key_file: /k}\nchain:\n  nodes:\n    - {name: a, address: \"10.0.0.1:1\"}\n";
    CHECK(agent_report(head + "    - {name: b, address: \"10.0.0.1:1\"}\n") ==
          "agent.yaml:5:7: the address '10.0.0.1:1' is already that of node 1 in line 4");
    CHECK(agent_report(head + "    - {name: b, address: \"0.0.0.0:1\"}\n").find("the other nodes can reach") !=
          std::string::npos);
    CHECK(agent_report("security: {cluster_key_file: /k}\nchain: {nodes: []}\n").find("'nodes' is empty") !=
          std::string::npos);
}
