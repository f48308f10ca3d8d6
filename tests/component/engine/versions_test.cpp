// SPDX-License-Identifier: MIT
// Agents of different versions: what one of the version before has said is understood word for word, what one of the
// next says is taken as far as it is known, and what lies beyond is refused in words.
#include <algorithm>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <set>

#include "agent/engine/peer_reader.h"
#include "agent/engine/peer_wire.h"
#include "common/error.h"
#include "common/file.h"

using namespace baton;

namespace {

/// protocol_1.json: a chain's traffic, recorded when version 1 was spoken; of each kind the richest.
json::Value recorded() {
    return json::parse(read_file(std::string(SOURCE_DIR) + "/tests/component/engine/protocol_1.json", 1 << 20));
}

const json::Value& entry(const json::Value& all, const std::string& kind) {
    return *std::ranges::find_if(all, [&](const json::Value& one) { return json::text(one, "kind") == kind; });
}

/// Every member of `said` is in `understood` with the same value; numbers of versions aside.
void check_kept(const json::Value& said, const json::Value& understood, const std::string& where) {
    INFO(where);
    if (said.is_object()) {
        for (const auto& [name, value] : said.items()) {
            if (name == "protocol" || name == "already") continue;
            INFO("member " << name);
            REQUIRE(understood.contains(name));
            check_kept(value, understood.at(name), where + "." + name);
        }
    } else if (said.is_array()) {
        REQUIRE(said.size() == understood.size());
        for (std::size_t i = 0; i < said.size(); ++i) check_kept(said[i], understood[i], where + "[]");
    } else {
        CHECK(said == understood);
    }
}

}  // namespace

TEST_CASE("versions: all that an agent of version 1 was heard to say is understood, member by member") {
    const auto all = recorded();
    std::set<std::string> kinds;
    for (const auto& one : all) {
        const auto kind = json::text(one, "kind");
        kinds.insert(kind);
        INFO(kind);
        const auto& body = json::member(one, "body");
        const auto heard = engine::parse_exchange(json::dump(body));
        CHECK(heard.protocol == 1);
        CHECK(heard.passed_over.empty());
        check_kept(body, engine::to_json(heard), kind);
    }
    // Whatever version 1 could say is among them.
    for (const auto* kind : {"ask", "granted", "denied", "release", "inquire", "handoff", "handoff_ack", "heads_up",
                             "sync", "tell", "told", "want_history", "ledger+progress+rollouts"}) {
        CHECK(kinds.contains(kind));
    }
}

TEST_CASE("versions: an agent says its version in every request, answer and question for a pack") {
    engine::PeerExchange said;
    CHECK(engine::to_json(said).at("protocol") == chain::protocol_version);
    chain::Message message;
    message.body = chain::Ask{};
    const auto letter = json::parse(engine::to_letter(AppName("shop"), message).second);
    CHECK(letter.at("protocol") == chain::protocol_version);
    CHECK(letter.at("messages").at(0).at("header").at("protocol") == chain::protocol_version);
    CHECK(json::parse(engine::pack_question(CommitId("c"), {"h"})).at("protocol") == chain::protocol_version);
}

TEST_CASE("versions: of what the next version says the unknown is passed over, and the known is kept") {
    const auto all = recorded();
    auto body = json::member(entry(all, "ledger+progress+rollouts"), "body");
    body["messages"] = json::member(entry(all, "ask"), "body").at("messages");
    body["protocol"] = chain::protocol_version + 1;
    auto strange = body;
    strange["messages"].push_back({{"header", body["messages"][0]["header"]}, {"sing", {{"song", 1}}}});
    strange["messages"].push_back({{"song", 1}});
    auto row = body["progress"][0];
    row["stage"] = "meditate";
    strange["progress"].push_back(row);
    strange["ledger"].push_back({{"cost", "none"}});
    strange["rollouts"].push_back("a word");
    strange["weather"] = "fine";
    const auto heard = engine::parse_exchange(json::dump(strange));
    CHECK(heard.messages.size() == 2);
    CHECK(std::holds_alternative<chain::Ask>(heard.messages.at(0).body));
    CHECK(std::holds_alternative<chain::Unknown>(heard.messages.at(1).body));
    CHECK(heard.progress.size() == 1);
    CHECK(heard.ledger.size() == 1);
    CHECK(heard.rollouts.size() == 1);
    CHECK(heard.passed_over.size() == 5);

    // The very same from one who says that he speaks our version is a fault.
    strange["protocol"] = chain::protocol_version;
    CHECK_THROWS_AS(engine::parse_exchange(json::dump(strange)), Error);
}

TEST_CASE("versions: what is too new or too old is refused, in words and as such") {
    engine::PeerReader reader;
    for (const unsigned version : {chain::protocol_version + 2, chain::oldest_protocol_version - 1}) {
        const json::Value value{{"protocol", version}};
        for (int time = 0; time < 2; ++time) {
            try {
                static_cast<void>(reader.read(NodeName("web2"), json::dump(value)));
                FAIL("a version that nobody knows was read");
            } catch (const Error& error) {
                CHECK(error.kind() == ErrorKind::conflict);
                CHECK_THAT(error.text(), Catch::Contains("upgrade one step at a time"));
            }
        }
    }
    CHECK(reader.read(NodeName("web2"), R"({"protocol":2})").protocol == 2);
    // A message within may be of another version than the request that carries it, and is held to the same.
    auto body = json::member(entry(recorded(), "ask"), "body");
    body["protocol"] = chain::protocol_version + 1;
    body["messages"][0]["header"]["protocol"] = chain::protocol_version + 2;
    CHECK_THROWS_WITH(engine::parse_exchange(json::dump(body)), Catch::Contains("upgrade one step at a time"));
}
