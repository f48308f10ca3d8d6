// SPDX-License-Identifier: MIT
// Commands that need no agent, and the command line's grammar.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/net/peer_signing.h"
#include "tests/component/cli/cli_harness.h"
#include "tests/support/temp_dir.h"

using namespace baton;
using baton::test::baton_cli;
using baton::test::TempDir;
using Catch::Contains;

namespace {

const std::string good_agent =
    "chain:\n  nodes:\n    - {name: web1, address: \"10.0.0.11:7070\"}\nsecurity: {cluster_key_file: /k}\n";

}  // namespace

TEST_CASE("cli: help teaches the commands, with examples and exit statuses") {
    const auto help = baton_cli({"--help"});
    CHECK(help.status == 0);
    for (const char* word : {"agent",
                             "trigger",
                             "status",
                             "log",
                             "history",
                             "rollback",
                             "halt",
                             "resume",
                             "promote",
                             "force",
                             "freeze",
                             "unfreeze",
                             "drain",
                             "undrain",
                             "forget",
                             "accept",
                             "check-config",
                             "ledger",
                             "token",
                             "keygen",
                             "version",
                             "baton trigger shop --wait",
                             "3 frozen, held, or not possible",
                             "BATON_AGENT"}) {
        CHECK_THAT(help.out, Contains(word));
    }
    const auto trigger = baton_cli({"trigger", "--help"});
    CHECK(trigger.status == 0);
    CHECK_THAT(trigger.out, Contains("--param") && Contains("--param-file") && Contains("NAME=- reads standard input") &&
                                Contains("1 when it was halted"));
}

TEST_CASE("cli: wrong usage is status 2 and names the nearest command") {
    const auto near = baton_cli({"triger", "shop"});
    CHECK(near.status == 2);
    CHECK_THAT(near.err, Contains("there is no command 'triger' (did you mean 'trigger'?)"));
    CHECK(baton_cli({}).status == 2);
    CHECK(baton_cli({"trigger"}).status == 2);
    CHECK(baton_cli({"trigger", "../etc"}).status == 2);
    CHECK(baton_cli({"trigger", "shop", "--param", "novalue"}).status == 2);
    CHECK(baton_cli({"trigger", "shop", "--param-file", "nofile"}).status == 2);
    CHECK(baton_cli({"trigger", "shop", "--timeout", "soon"}).status == 2);
    CHECK(baton_cli({"freeze", "shop"}).status == 2);
    CHECK(baton_cli({"log", "shop", "newest"}).status == 2);
    CHECK(baton_cli({"status", "--nonsense"}).status == 2);
}

TEST_CASE("cli: version tells the version both ways") {
    CHECK(baton_cli({"version"}).out == "baton " BATON_VERSION "\n");
    CHECK(baton_cli({"--version"}).out == "baton " BATON_VERSION "\n");
}

TEST_CASE("cli: agent hands its arguments to the agent, and its end to the shell") {
    std::string config;
    std::optional<std::string> node;
    const auto agent_main = [&](const std::string& path, const std::optional<std::string>& name) {
        config = path;
        node = name;
        return 7;
    };
    CHECK(baton_cli({"agent", "--config", "/x.yaml", "--node", "web2"}, agent_main).status == 7);
    CHECK(config == "/x.yaml");
    CHECK(node == "web2");
    CHECK(baton_cli({"agent"}, agent_main).status == 7);
    CHECK(config == "/etc/baton/agent.yaml");
    CHECK_FALSE(node.has_value());
    const auto failing = [](const std::string&, const std::optional<std::string>&) -> int {
        throw Error(ErrorKind::io, "port in use");
    };
    const auto failed = baton_cli({"agent"}, failing);
    CHECK(failed.status == 1);
    CHECK_THAT(failed.err, Contains("baton: the agent cannot run: port in use"));
}

TEST_CASE("cli: check-config prints the effective configuration of both kinds of file") {
    const TempDir dir;
    const auto agent = dir.write("a.yaml", good_agent).string();
    const auto pipeline = dir.write("b.yaml", "test:\n  - run: make check\n").string();
    const auto both = baton_cli({"check-config", agent, pipeline});
    CHECK(both.status == 0);
    CHECK_THAT(both.out, Contains("an agent's configuration, hash ") && Contains("executors: 2") &&
                             Contains("a pipeline") && Contains("timeout: 30m"));
    CHECK(both.err.empty());
    CHECK(baton_cli({"check-config", "--quiet", agent}).out.empty());
}

TEST_CASE("cli: check-config reports every file's faults and fails") {
    const TempDir dir;
    const auto bad = dir.write("a.yaml", good_agent + "excutors: 3\nstate_dir: x\n").string();
    const auto pipeline = dir.write("b.yaml", "test:\n  - rum: make check\n").string();
    const auto result = baton_cli({"check-config", bad, pipeline, (dir / "missing").string()});
    CHECK(result.status == 1);
    CHECK_THAT(result.err,
               Contains(bad + ":5:1: unknown key 'excutors' in agent.yaml (did you mean 'executors'?)") &&
                   Contains(bad + ":6:12: 'state_dir' must be an absolute path") &&
                   Contains(pipeline + ":2:5: unknown key 'rum' in step 1 of 'test' (did you mean 'run'?)") &&
                   Contains("No such file"));
    const auto warned = dir.write("c.yaml", "switch: {restart: [{run: ./r}]}\n").string();
    const auto warning = baton_cli({"check-config", warned});
    CHECK(warning.status == 0);
    CHECK_THAT(warning.err, Contains("no 'health'") && Contains("(warning)"));
}

TEST_CASE("cli: keygen prints a key that agents accept, another each time") {
    const auto key = baton_cli({"keygen"});
    CHECK(key.status == 0);
    CHECK(net::ClusterKeys::parse(key.out).size() == 1);
    CHECK(baton_cli({"keygen"}).out != key.out);
}

TEST_CASE("cli: keygen --rotate changes a file in place and says by when it must be everywhere") {
    const TempDir dir;
    const std::string file = dir.write("keys", baton_cli({"keygen"}).out, 0600).string();
    const auto rotated = baton_cli({"keygen", "--rotate", file});
    CHECK(rotated.status == 0);
    CHECK(rotated.out.empty());
    CHECK_THAT(rotated.err, Contains("Copy the file to every node before"));
    CHECK(net::ClusterKeys::load(file).size() == 2);
    CHECK(baton_cli({"keygen", "--rotate", file, "--node", "web1", "--node", "web2", "--after", "5m"}).status == 0);
    CHECK(net::ClusterKeys::load(file).size() == 4);
    CHECK(baton_cli({"keygen", "--node", "web1"}).status == 2);
    CHECK(baton_cli({"keygen", "--rotate", file, "--after", "soon"}).status == 2);
    CHECK(baton_cli({"keygen", "--rotate", (dir / "none").string()}).status == 1);
    const auto open = dir.write("open", baton_cli({"keygen"}).out, 0644).string();
    CHECK_THAT(baton_cli({"keygen", "--rotate", open}).err, Contains("chmod 600"));
}

TEST_CASE("cli: tokens are added, listed and revoked, by the file or through agent.yaml") {
    const TempDir dir;
    const std::string file = (dir / "tokens").string();
    const auto config = dir.write("agent.yaml",
                                  "chain:\n  nodes:\n    - {name: web1, address: \"10.0.0.11:7070\"}\nsecurity:\n"
                                  "  cluster_key_file: /k\n  tokens_file: " +
                                      file + "\n")
                            .string();
    const auto added = baton_cli({"token", "add", "ci", "--role", "trigger", "--config", config});
    CHECK(added.status == 0);
    CHECK(added.out.starts_with("baton_"));
    CHECK(added.out.size() == std::string("baton_\n").size() + 64);
    CHECK(baton_cli({"token", "add", "ann", "--role", "operate", "--file", file}).status == 0);
    CHECK(baton_cli({"token", "list", "--file", file}).out == "NAME  ROLE\nci    trigger\nann   operate\n");
    const auto listed = json::parse(baton_cli({"token", "list", "--json", "--file", file}).out);
    CHECK(listed.at("tokens").at(0) == json::Value{{"name", "ci"}, {"role", "trigger"}});
    CHECK(baton_cli({"token", "revoke", "ci", "--file", file}).status == 0);
    CHECK(baton_cli({"token", "list", "--file", file}).out == "NAME  ROLE\nann   operate\n");
    const auto again = baton_cli({"token", "revoke", "ci", "--file", file});
    CHECK(again.status == 1);
    CHECK_THAT(again.err, Contains("there is no token 'ci' (known: ann)"));
    CHECK(baton_cli({"token", "add", "ann", "--file", file}).status == 3);
    CHECK(baton_cli({"token", "add", "x", "--role", "root", "--file", file}).status == 2);
    CHECK(baton_cli({"token"}).status == 2);
}
