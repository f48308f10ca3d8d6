// SPDX-License-Identifier: MIT
// Commands that talk to an agent, over a real socket.
#include <pthread.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/component/cli/cli_harness.h"
#include "tests/support/eventually.h"
#include "tests/support/temp_dir.h"

using namespace baton;
using baton::test::baton_cli;
using baton::test::FakeAgent;
using baton::test::TempDir;
using baton::test::Variable;
using Catch::Contains;
using Catch::EndsWith;

TEST_CASE("cli: status shows the chain as a line of nodes, since when, and what it waits for") {
    const FakeAgent agent;
    const auto result = baton_cli({"status", "--agent", agent.url()});
    CHECK(result.status == 0);
    CHECK(result.out == R"(shop: rollout of 1a2b3c4d5e6f "Add a basket \x1b[31mred" by Ann: running
  started 2m10s ago on web1: Started by user ann  (01KAPV000000000000000000AA)
  web1 [done] -> web2 [permit 12s] -> web3 [out of reach]
  NODE  CURRENT       SERVES  STAGE   STATE      SINCE  BUILD
  web1  1a2b3c4d5e6f  yes     done    succeeded  12s    #7
  web2  000000000000  yes     permit  waiting    12s    #7     waits for a permit from web3
  web3  000000000000  no      queued  waiting    12s    #7     not heard for 1m30s; DRAINED by ann, 1h0m ago: a new disk

blog: nothing was rolled out yet
  FROZEN by bob for 1h0m: sale
)");
    CHECK_THAT(baton_cli({"status", "blog", "--agent", agent.url()}).out, !Contains("shop"));
}

TEST_CASE("cli: status as JSON is the agent's own") {
    const FakeAgent agent;
    const auto result = baton_cli({"--agent", agent.url(), "status", "--json"});
    CHECK(json::parse(result.out).at("apps").size() == 2);
}

TEST_CASE("cli: the agent may come from the environment, and the option counts more") {
    const FakeAgent agent;
    const Variable variable("BATON_AGENT", agent.url());
    CHECK(baton_cli({"status"}).status == 0);
    CHECK(baton_cli({"status", "--agent", "http://127.0.0.1:1"}).status == 4);
}

TEST_CASE("cli: an agent that is not there is status 4 and says where was asked") {
    const auto result = baton_cli({"status", "--agent", "127.0.0.1:1"});
    CHECK(result.status == 4);
    CHECK_THAT(result.err, Contains("127.0.0.1:1") && Contains("BATON_AGENT"));
    CHECK(result.out.empty());
}

TEST_CASE("cli: trigger says where it is queued, and sends what was said") {
    const FakeAgent agent;
    const auto result = baton_cli({"trigger", "shop", "--commit", "1a2b3c4", "--param", "LEVEL=high", "--param",
                                   "URL=a=b,c", "--agent", agent.url()});
    CHECK(result.status == 0);
    CHECK(result.out == "shop is queued as 5\n");
    const auto requests = agent.requests();
    REQUIRE(requests.size() == 1);
    CHECK(requests[0].at("target") == "/api/v1/apps/shop/trigger");
    const auto body = json::parse(requests[0].at("body").get<std::string>());
    CHECK(body ==
          json::Value{{"commit", "1a2b3c4"}, {"parameters", {{"LEVEL", "high"}, {"URL", "a=b,c"}}}, {"force", false}});
}

TEST_CASE("cli: trigger reads parameters from files and from standard input, without the last line's end") {
    const FakeAgent agent;
    const test::TempDir dir;
    dir.write("token", "s3cret=\n");
    dir.write("text", "two\r\nlines\r\n");
    const auto result =
        test::with_input("from outside\n", [&] {
            return baton_cli({"trigger", "shop", "--param-file", "TOKEN=" + (dir / "token").string(), "--param-file",
                              "NOTE=-", "--param", "LEVEL=high", "--param-file", "TEXT=" + (dir / "text").string(),
                              "--agent", agent.url()});
        });
    CHECK(result.status == 0);
    CHECK_THAT(result.out + result.err, !Contains("s3cret"));
    const auto requests = agent.requests();
    REQUIRE(requests.size() == 1);
    const auto body = json::parse(requests[0].at("body").get<std::string>());
    CHECK(body.at("parameters") ==
          json::Value{{"LEVEL", "high"}, {"NOTE", "from outside"}, {"TEXT", "two\r\nlines"}, {"TOKEN", "s3cret="}});
}

TEST_CASE("cli: a parameter that cannot be read, or is given twice, starts nothing") {
    const FakeAgent agent;
    const auto refused = [&](const std::vector<std::string>& given) {
        std::vector<std::string> words{"trigger", "shop", "--agent", agent.url()};
        words.insert(words.end(), given.begin(), given.end());
        const auto result = test::with_input("x", [&] { return baton_cli(words); });
        CHECK(result.status != 0);
        return result.err;
    };
    CHECK_THAT(refused({"--param-file", "TOKEN=/nowhere/token"}), Contains("parameter TOKEN") && Contains("/nowhere/token"));
    CHECK_THAT(refused({"--param-file", "A=-", "--param-file", "B=-"}), Contains("one parameter only"));
    CHECK_THAT(refused({"--param-file", "A=-", "--param", "A=b"}), Contains("--param-file: leave one out"));
    CHECK_THAT(refused({"--param-file", "A=/dev/zero"}), Contains("parameter A"));
    CHECK(agent.requests().empty());
}

TEST_CASE("cli: trigger --wait shows each node's progress once and ends with the rollout") {
    const FakeAgent agent;
    const auto result = baton_cli({"trigger", "shop", "--wait", "--agent", agent.url()});
    CHECK(result.status == 0);
    CHECK_THAT(result.out, Contains("rollout 01KAPV000000000000000000AA has started") &&
                               Contains("web1 test running\n") &&
                               Contains("web2 permit waiting: waits for a permit from web3\n") &&
                               Contains("web2 done succeeded\n") && Contains("shop succeeded\n"));
    const std::string once = "web1 done succeeded";
    const auto first = result.out.find(once);
    REQUIRE(first != std::string::npos);
    CHECK(result.out.find(once, first + 1) == std::string::npos);
}

TEST_CASE("cli: trigger --wait fails with a halted rollout, and with a refused trigger") {
    const FakeAgent agent;
    const auto halted = baton_cli({"trigger", "shop", "--commit", "bad", "--wait", "--agent", agent.url()});
    CHECK(halted.status == 1);
    CHECK_THAT(halted.err, Contains("shop halted: test failed on web2") && Contains("baton resume shop"));
    const auto refused = baton_cli({"trigger", "shop", "--commit", "refused", "--wait", "--agent", agent.url()});
    CHECK(refused.status == 1);
    CHECK_THAT(refused.err, Contains("refused: no such commit"));
}

TEST_CASE("cli: trigger --wait of a frozen app is status 3 and says what holds it") {
    const FakeAgent agent;
    const auto held = baton_cli({"trigger", "shop", "--commit", "held", "--wait", "--agent", agent.url()});
    CHECK(held.status == 3);
    CHECK_THAT(held.err, Contains("held: frozen by bob: sale") && Contains("baton unfreeze shop"));
}

TEST_CASE("cli: log prints what there is, and with -f what comes until the build has ended") {
    const FakeAgent agent;
    CHECK(baton_cli({"log", "shop", "--agent", agent.url()}).out == "line 1\n");
    const FakeAgent another;
    const auto followed = baton_cli({"log", "shop", "7", "-f", "--agent", another.url()});
    CHECK(followed.status == 0);
    CHECK(followed.out == "line 1\nline 2\nline 3\n");
}

TEST_CASE("cli: history, ledger and audit are tables, or JSON") {
    const FakeAgent agent;
    const auto history = baton_cli({"history", "shop", "-n", "5", "--agent", agent.url()});
    CHECK_THAT(history.out, Contains("STARTED") &&
                                Contains("2025-11-24T15:57:50Z  deploy  1a2b3c4d5e6f  running  0/2") &&
                                Contains("tests failed"));
    CHECK(json::parse(baton_cli({"history", "shop", "--json", "--agent", agent.url()}).out).at("rollouts").size() == 2);
    const auto ledger = baton_cli({"ledger", "shop", "--since", "7d", "--agent", agent.url()}).out;
    CHECK_THAT(ledger, Contains("3 switches of 3 nodes, 1 measured, 1 assumed, 1 unknown") &&
                           Contains("dark for 1s40ms on nodes in all, 1s12ms of it") &&
                           Contains("7 requests were cut"));
    CHECK_THAT(ledger,
               Contains("337ms of total outage: 0.00039 % of all requests, and at most 0.019 % of visits of 50"));
    CHECK_THAT(ledger, Contains("Of that 500ms are assumed; measured alone, it is 0.00019 %"));
    CHECK_THAT(ledger, Contains("NODE  DEPLOYS") && Contains("web1") && Contains("2025-11-24"));
    CHECK_THAT(ledger, !Contains("Assumed:") && !Contains("requests a second"));
    const auto careful =
        baton_cli({"ledger", "shop", "--check", "2s", "--check-fast", "250ms", "--fall", "3", "--dark-share", "0.8",
                   "--retried", "0.5", "--rate", "100", "--agent", agent.url()});
    CHECK_THAT(careful.out,
               Contains("At 100 requests a second that is 34 failed requests.\n"
                        "Assumed: a node is taken out after 3 failed checks 2s apart, 250ms after a failure; "
                        "a node that is down draws 80 % of all requests; 50 % of the failed requests are "
                        "answered by another node.\n"));
    CHECK(baton_cli({"ledger", "shop", "--fall", "3", "--agent", agent.url()}).status == 2);
    CHECK(baton_cli({"ledger", "shop", "--retried", "1.5", "--agent", agent.url()}).status == 2);
    CHECK_THAT(baton_cli({"audit", "--agent", agent.url()}).out, Contains("ann") && Contains("bad prices"));
    const auto mine = baton_cli({"history", "shop", "--audit", "-n", "3", "--agent", agent.url()});
    CHECK_THAT(mine.out, Contains("ann") && Contains("bad prices"));
    CHECK(baton_cli({"history", "--audit", "--agent", agent.url()}).status == 0);
    CHECK(baton_cli({"history", "--agent", agent.url()}).status == 2);
    const auto requests = agent.requests();
    CHECK(requests[0].at("target") == "/api/v1/apps/shop/rollouts?limit=5");
    CHECK(requests.at(requests.size() - 2).at("target") == "/api/v1/audit?limit=3&app=shop");
    CHECK(requests[2].at("target").get<std::string>().starts_with("/api/v1/ledger?since_ms=1"));
    CHECK_THAT(requests[3].at("target").get<std::string>(),
               EndsWith("&app=shop&check_ms=2000&check_fast_ms=250&fall=3&dark_share=0.800000&retried=0.500000"
                        "&rate=100.000000"));
}

TEST_CASE("cli: orders go to their place with what was said, and the agent's sentence comes back") {
    const FakeAgent agent;
    struct Order {
        std::vector<std::string> words;
        std::string target;
    };
    for (const auto& [words, target] :
         std::vector<Order>{{{"rollback", "shop"}, "apps/shop/rollback"},
                            {{"halt", "shop", "--reason", "prices"}, "apps/shop/halt"},
                            {{"resume", "shop"}, "apps/shop/resume"},
                            {{"freeze", "shop", "--reason", "sale", "--for", "2h"}, "apps/shop/freeze"},
                            {{"unfreeze", "shop"}, "apps/shop/unfreeze"},
                            {{"drain", "shop"}, "apps/shop/drain"},
                            {{"undrain", "shop"}, "apps/shop/undrain"},
                            {{"forget", "web3", "--reason", "burnt"}, "nodes/web3/forget"},
                            {{"accept", "web3"}, "nodes/web3/accept"},
                            {{"halt", "shop", "--rollout", "01HZX3V8M4N5P6Q7R8S9T0V1W2"}, "apps/shop/halt"}}) {
        auto arguments = words;
        arguments.insert(arguments.end(), {"--agent", agent.url()});
        const auto result = baton_cli(arguments);
        CHECK(result.status == 0);
        CHECK(result.out == words.front() + ": done\n");
        const auto requests = agent.requests();
        CHECK(requests.back().at("method") == "POST");
        CHECK(requests.back().at("target") == "/api/v1/" + target);
    }
    const auto requests = agent.requests();
    CHECK(json::parse(requests[1].at("body").get<std::string>()) == json::Value{{"reason", "prices"}});
    const auto freeze = json::parse(requests[3].at("body").get<std::string>());
    CHECK(json::parse(requests[7].at("body").get<std::string>()) == json::Value{{"reason", "burnt"}});
    CHECK(json::parse(requests.back().at("body").get<std::string>()) ==
          json::Value{{"rollout", "01HZX3V8M4N5P6Q7R8S9T0V1W2"}});
    CHECK(freeze.at("reason") == "sale");
    CHECK(freeze.at("until_ms").get<std::int64_t>() > 1'700'000'000'000);
}

TEST_CASE("cli: a freeze ends after a time or at a time, not at both and not in the past") {
    const FakeAgent agent;
    const std::vector<std::string> freeze{"freeze", "shop", "--reason", "sale", "--agent", agent.url()};
    const auto with = [&](const std::vector<std::string>& more) {
        auto words = freeze;
        words.insert(words.end(), more.begin(), more.end());
        return baton_cli(words);
    };
    REQUIRE(with({"--until", "2099-01-02T06:00"}).status == 0);
    const auto body = json::parse(agent.requests().back().at("body").get<std::string>());
    CHECK(body.at("until_ms").get<std::int64_t>() == 4'071'016'800'000);
    CHECK(with({"--until", "2001-01-02"}).status == 2);
    CHECK_THAT(with({"--until", "2001-01-02"}).err, Contains("is past"));
    CHECK_THAT(with({"--until", "tomorrow"}).err, Contains("'tomorrow' is not a time"));
    CHECK(with({"--until", "2099-01-02", "--for", "2d"}).status == 2);
}

TEST_CASE("cli: the agent's errors keep their words and become exit statuses") {
    const FakeAgent agent;
    const auto conflict = baton_cli({"promote", "shop", "--agent", agent.url()});
    CHECK(conflict.status == 3);
    CHECK_THAT(conflict.err, Contains("there is no canary that could be promoted"));
    const auto unknown = baton_cli({"history", "shpo", "--agent", agent.url()});
    CHECK(unknown.status == 1);
    CHECK_THAT(unknown.err, Contains("no app 'shpo' is configured (known: shop)"));
    const auto stranger = baton_cli({"history", "secret", "--agent", agent.url()});
    CHECK(stranger.status == 1);
    CHECK_THAT(stranger.err, Contains("who are you?") && Contains("--token-file") && Contains("baton token add"));
    const auto proxy = baton_cli({"trigger", "shop", "--commit", "busy", "--agent", agent.url()});
    CHECK(proxy.status == 1);
    CHECK_THAT(proxy.err, Contains("HTTP status 503"));
}

TEST_CASE("cli: the token comes from a file or the environment and is never an argument") {
    const FakeAgent agent;
    const TempDir dir;
    const auto file = dir.write("token", "s3cret\n", 0600).string();
    CHECK(baton_cli({"status", "--token-file", file, "--agent", agent.url()}).status == 0);
    CHECK(agent.requests().back().at("authorization") == "Bearer s3cret");
    const Variable token("BATON_TOKEN", "other");
    CHECK(baton_cli({"status", "--agent", agent.url()}).status == 0);
    CHECK(agent.requests().back().at("authorization") == "Bearer other");
    {
        const Variable variable("BATON_TOKEN_FILE", file);
        CHECK(baton_cli({"status", "--agent", agent.url()}).status == 0);
        CHECK(agent.requests().back().at("authorization") == "Bearer s3cret");
    }
    CHECK(baton_cli({"status", "--token", "s3cret", "--agent", agent.url()}).status == 2);
    const auto open = dir.write("open", "s3cret\n", 0644).string();
    const auto refused = baton_cli({"status", "--token-file", open, "--agent", agent.url()});
    CHECK(refused.status == 1);
    CHECK_THAT(refused.err, !Contains("s3cret"));
}

TEST_CASE("cli: status --watch prints changes where there is no terminal, until Ctrl-C") {
    const FakeAgent agent;
    const pthread_t watcher = pthread_self();
    const std::jthread interrupter([&] {
        const auto asked_twice = [&] { return agent.requests().size() >= 2; };
        static_cast<void>(baton::test::eventually(asked_twice));
        pthread_kill(watcher, SIGINT);
    });
    const auto result = baton_cli({"status", "shop", "--watch", "--agent", agent.url()});
    CHECK(result.status == 0);
    CHECK_THAT(result.out,
               Contains("web1 done succeeded\n") && Contains("web2 permit waiting: waits for a permit from web3\n"));
    // Nothing changed between the two looks, so nothing is printed twice.
    CHECK(std::ranges::count(result.out, '\n') == 3);
}
