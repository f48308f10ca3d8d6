// SPDX-License-Identifier: MIT
// Cluster keys: generations that overlap, keys of one sender, and a file that changes under a running agent.
#include "common/net/cluster_keys.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <functional>

#include "common/digest.h"
#include "common/error.h"
#include "common/net/peer_signing.h"
#include "tests/support/refusal.h"
#include "tests/support/temp_dir.h"

using namespace baton;
using namespace baton::net;
using baton::test::has;
using baton::test::key_line;
using namespace std::chrono_literals;

namespace {

const NodeName web1("web1");
const NodeName web2("web2");
const WallTime noon = from_epoch_ms(1'795'694'400'000);  // 2026-11-26T12:00:00Z

std::string refusal(const std::function<void()>& work, ErrorKind kind = ErrorKind::invalid) {
    return test::refusal(work, kind);
}

class HandClock final : public Clock {
  public:
    [[nodiscard]] WallTime wall() const override { return noon + passed; }
    [[nodiscard]] Instant now() const override { return Instant{} + passed; }
    Milliseconds passed{0};
};

}  // namespace

TEST_CASE("cluster keys: of plain lines the first signs, as ever") {
    const auto keys = ClusterKeys::parse(key_line("new", '2') + key_line("old", '1'));
    CHECK(keys.signing(web1, noon).id == "new");
    CHECK(keys.objection(*keys.find("old"), web1, noon).empty());
}

TEST_CASE("cluster keys: a key signs from its time on, is accepted before, and not after its end") {
    const auto keys = ClusterKeys::parse(key_line("old", '1', " until=2026-11-26T14:00:00Z") +
                                         key_line("new", '2', " from=2026-11-26T13:00:00Z"));
    CHECK(keys.signing(web1, noon).id == "old");
    CHECK(keys.signing(web1, noon + 1h).id == "new");
    CHECK(keys.objection(*keys.find("new"), web1, noon).empty());
    CHECK(keys.objection(*keys.find("old"), web1, noon + 119min).empty());
    CHECK(keys.objection(*keys.find("old"), web1, noon + 2h) == "key 'old' ended at 2026-11-26T14:00:00Z");
    const auto none = ClusterKeys::parse(key_line("old", '1', " until=2026-11-26T14:00:00Z"));
    CHECK(has(refusal([&] { (void)none.signing(web1, noon + 2h); }), "--rotate"));
}

TEST_CASE("cluster keys: a sender's own key is nobody else's, and ends everybody's for it") {
    const auto keys =
        ClusterKeys::parse(key_line("all", '1') + key_line("own", '2', " node=web1 from=2026-11-26T13:00:00Z"));
    CHECK(keys.signing(web1, noon).id == "all");
    CHECK(keys.signing(web1, noon + 1h).id == "own");
    CHECK(keys.signing(web2, noon + 1h).id == "all");
    CHECK(keys.objection(*keys.find("own"), web2, noon) == "key 'own' is web1's, not web2's");
    CHECK(keys.objection(*keys.find("all"), web1, noon + 119min).empty());
    CHECK(has(keys.objection(*keys.find("all"), web1, noon + 2h), "web1 has a key of its own"));
    CHECK(keys.objection(*keys.find("all"), web2, noon + 2h).empty());
}

TEST_CASE("cluster keys: what a line may not say is an error that names the line") {
    const auto fault = [](const std::string& rest) {
        return refusal([&] { (void)ClusterKeys::parse("# one\n" + key_line("a", '1', rest)); });
    };
    for (const char* rest : {" x", " node=", " node=A/b", " from=now", " until=2026-11-26", " from=2026-11-26T13:00:00",
                             " from=2026-02-31T13:00:00Z", " node=a node=b", " colour=red",
                             " from=2026-11-26T13:00:00Z until=2026-11-26T13:00:00Z"}) {
        INFO(rest);
        CHECK(has(fault(rest), "line 2"));
    }
}

TEST_CASE("cluster keys: a rotation adds a generation, ends the one before, and drops what has ended") {
    const std::string first = "# ours\n" + key_line("one", '1');
    const std::string second = rotate_keys(first, {}, noon);
    CHECK(second.starts_with("# ours\nkey one "));
    const auto keys = ClusterKeys::parse(second);
    REQUIRE(keys.size() == 2);
    CHECK(keys.signing(web1, noon + 59min).id == "one");
    const std::string new_id = keys.signing(web1, noon + 1h).id;
    CHECK(new_id.starts_with("2026-11-26-"));
    CHECK_FALSE(keys.objection(*keys.find("one"), web1, noon + 2h).empty());
    // A second rotation before the first has come to its end keeps the ends that were promised.
    const auto again = ClusterKeys::parse(rotate_keys(second, {{}, 0ms}, noon + 30min));
    CHECK(again.size() == 3);
    CHECK(again.objection(*again.find("one"), web1, noon + 89min).empty());
    CHECK_FALSE(again.objection(*again.find("one"), web1, noon + 90min).empty());
    CHECK(ClusterKeys::parse(rotate_keys(second, {}, noon + 3h)).find("one") == nullptr);
    CHECK(has(refusal([] { (void)rotate_keys("nothing", {}, noon); }), "line 1"));
}

TEST_CASE("cluster keys: nodes get keys of their own, and one of them a new one") {
    const std::string own = rotate_keys(key_line("all", '1'), {{web1, web2}, key_overlap}, noon);
    const auto keys = ClusterKeys::parse(own);
    REQUIRE(keys.size() == 3);
    CHECK(keys.signing(web1, noon + 1h).node == web1);
    CHECK(keys.signing(web2, noon + 1h).node == web2);
    CHECK(keys.signing(NodeName("web3"), noon + 1h).id == "all");
    const auto next = ClusterKeys::parse(rotate_keys(own, {{web1}, key_overlap}, noon + 5h));
    CHECK(next.size() == 4);
    CHECK(next.signing(web1, noon + 6h).id != keys.signing(web1, noon + 1h).id);
    CHECK(next.signing(web2, noon + 6h).id == keys.signing(web2, noon + 1h).id);
}

TEST_CASE("cluster keys: agents that re-read their file go from one key to the next without a refusal") {
    const test::TempDir dir;
    HandClock clock;
    const auto file1 = dir.write("one", key_line("old", '1'), 0600);
    const auto file2 = dir.write("two", key_line("old", '1'), 0600);
    const auto ring1 = std::make_shared<ClusterKeyRing>(file1);
    const auto ring2 = std::make_shared<ClusterKeyRing>(file2);
    const PeerSigner signer(ring1, web1, clock);
    PeerVerifier verifier(ring2, web2, clock);
    const auto exchange = [&] {
        const HeaderList headers = signer.sign("GET", "/", "", web2);
        CHECK(verifier.verify("GET", "/", "", headers) == web1);
        return headers.get(signature_header);
    };
    CHECK(exchange().starts_with("v1=old:"));
    const std::string rotated = rotate_keys(key_line("old", '1'), {}, clock.wall());
    dir.write("one", rotated, 0600);  // the other one's file is not there yet
    CHECK(exchange().starts_with("v1=old:"));
    dir.write("two", rotated, 0600);
    clock.passed += 61min;
    CHECK(exchange().starts_with("v1=2026-11-26-"));
    clock.passed += 60min;
    const PeerSigner late(ClusterKeys::parse(key_line("old", '1')), web1, clock);
    CHECK(has(refusal([&] { (void)verifier.verify("GET", "/", "", late.sign("GET", "/", "", web2)); },
                      ErrorKind::unauthorized),
              "key 'old' ended"));
}

TEST_CASE("cluster keys: a broken or open file leaves the old keys in use") {
    const test::TempDir dir;
    const auto file = dir.write("keys", key_line("old", '1'), 0600);
    ClusterKeyRing ring(file);
    dir.write("keys", "key half", 0600);
    CHECK(ring.keys()->find("old") != nullptr);
    CHECK(has(refusal([&] { ring.reload(); }), "line 1"));
    dir.write("keys", key_line("new", '2'), 0644);
    CHECK(ring.keys()->find("old") != nullptr);
    std::filesystem::permissions(file, std::filesystem::perms(0600));
    CHECK(ring.keys()->find("new") != nullptr);
}
