// SPDX-License-Identifier: MIT
// Signatures between agents: what is accepted, and each way of being refused.
#include "common/net/peer_signing.h"

#include <catch2/catch.hpp>
#include <functional>

#include "common/digest.h"
#include "common/error.h"
#include "common/text.h"
#include "tests/support/refusal.h"
#include "tests/support/temp_dir.h"

using namespace baton;
using namespace baton::net;
using baton::test::has;
using baton::test::key_line;
using namespace std::chrono_literals;

namespace {

class HandClock final : public Clock {
  public:
    [[nodiscard]] WallTime wall() const override { return from_epoch_ms(1'700'000'000'000) + passed + wrong; }
    [[nodiscard]] Instant now() const override { return Instant{} + passed; }
    Milliseconds passed{0};
    Milliseconds wrong{0};
};

std::string refusal(const std::function<void()>& work, ErrorKind kind = ErrorKind::unauthorized) {
    return test::refusal(work, kind);
}

const NodeName web1("web1");
const NodeName web2("web2");

}  // namespace

TEST_CASE("peer signing: a signed request is its sender's, once") {
    HandClock clock;
    const ClusterKeys keys = ClusterKeys::parse(key_line("a", '1'));
    const PeerSigner signer(keys, web1, clock);
    PeerVerifier verifier(keys, web2, clock);
    const HeaderList headers = signer.sign("POST", "/peer/v1/x?y=1", "body", web2);
    CHECK(is_signed(headers));
    CHECK(verifier.verify("POST", "/peer/v1/x?y=1", "body", headers) == web1);
    CHECK(has(refusal([&] { (void)verifier.verify("POST", "/peer/v1/x?y=1", "body", headers); }), "replay"));
    CHECK(verifier.verify("POST", "/peer/v1/x?y=1", "body", signer.sign("POST", "/peer/v1/x?y=1", "body", web2)) ==
          web1);
}

TEST_CASE("peer signing: a change of any part is noticed") {
    HandClock clock;
    const ClusterKeys keys = ClusterKeys::parse(key_line("a", '1'));
    const PeerSigner signer(keys, web1, clock);
    PeerVerifier verifier(keys, web2, clock);
    const HeaderList good = signer.sign("POST", "/x", "body", web2);
    const auto refused = [&](std::string_view method, std::string_view target, std::string_view body,
                             const HeaderList& headers) {
        return has(refusal([&] { (void)verifier.verify(method, target, body, headers); }), "does not fit");
    };
    CHECK(refused("PUT", "/x", "body", good));
    CHECK(refused("POST", "/y", "body", good));
    CHECK(refused("POST", "/x", "bodz", good));
    for (const auto& [name, value] :
         std::vector<std::pair<std::string_view, std::string>>{{from_header, "web3"},
                                                               {to_header, "web9"},
                                                               {time_header, "1700000000001"},
                                                               {nonce_header, std::string(32, 'a')}}) {
        HeaderList changed = good;
        changed.set(std::string(name), value);
        CHECK(refused("POST", "/x", "body", changed));
    }
    for (const std::string_view name : {from_header, to_header, time_header, nonce_header, signature_header}) {
        HeaderList without = good;
        without.remove(name);
        CHECK(has(refusal([&] { (void)verifier.verify("POST", "/x", "body", without); }), "is missing"));
        HeaderList twice = good;
        twice.add(std::string(name), good.get(name));
        CHECK(has(refusal([&] { (void)verifier.verify("POST", "/x", "body", twice); }), "twice"));
    }
    // None of that has used up the good one.
    CHECK(verifier.verify("POST", "/x", "body", good) == web1);
}

TEST_CASE("peer signing: a request for another node is refused by name") {
    HandClock clock;
    const ClusterKeys keys = ClusterKeys::parse(key_line("a", '1'));
    const HeaderList headers = PeerSigner(keys, web1, clock).sign("GET", "/", "", NodeName("web3"));
    PeerVerifier verifier(keys, web2, clock);
    const std::string text = refusal([&] { (void)verifier.verify("GET", "/", "", headers); });
    CHECK(has(text, "meant for 'web3', this is 'web2'"));
}

TEST_CASE("peer signing: a wrong clock is named with its difference") {
    HandClock here;
    HandClock there;
    const ClusterKeys keys = ClusterKeys::parse(key_line("a", '1'));
    const PeerSigner signer(keys, web1, there);
    PeerVerifier verifier(keys, web2, here);
    there.wrong = 120s;
    CHECK(verifier.verify("GET", "/", "", signer.sign("GET", "/", "", web2)) == web1);
    there.wrong = 250s;
    CHECK(has(refusal([&] { (void)verifier.verify("GET", "/", "", signer.sign("GET", "/", "", web2)); }),
              "the clock of web1 is 4m10s ahead of the clock of web2"));
    there.wrong = -121s;
    CHECK(has(refusal([&] { (void)verifier.verify("GET", "/", "", signer.sign("GET", "/", "", web2)); }), "behind"));
}

TEST_CASE("peer signing: keys rotate: the newest signs, older ones verify, a removed one does not") {
    HandClock clock;
    const ClusterKeys before = ClusterKeys::parse(key_line("old", '1'));
    const ClusterKeys both = ClusterKeys::parse(key_line("new", '2') + "# comment\n\n" + key_line("old", '1'));
    const ClusterKeys after = ClusterKeys::parse(key_line("new", '2'));
    PeerVerifier rotating(both, web2, clock);
    CHECK(rotating.verify("GET", "/", "", PeerSigner(before, web1, clock).sign("GET", "/", "", web2)) == web1);
    CHECK(rotating.verify("GET", "/", "", PeerSigner(after, web1, clock).sign("GET", "/", "", web2)) == web1);
    CHECK(PeerSigner(both, web1, clock).sign("GET", "/", "", web2).get(signature_header).starts_with("v1=new:"));
    PeerVerifier done(after, web2, clock);
    CHECK(has(
        refusal([&] { (void)done.verify("GET", "/", "", PeerSigner(before, web1, clock).sign("GET", "/", "", web2)); }),
        "key 'old'"));
}

TEST_CASE("peer signing: the memory of replays is bounded and fails closed, and forgets what time has made harmless") {
    HandClock clock;
    const ClusterKeys keys = ClusterKeys::parse(key_line("a", '1'));
    const PeerSigner signer(keys, web1, clock);
    PeerVerifier verifier(keys, web2, clock, {120s, 3});
    const HeaderList first = signer.sign("GET", "/", "", web2);
    CHECK(verifier.verify("GET", "/", "", first) == web1);
    for (int i = 0; i < 2; ++i) CHECK(verifier.verify("GET", "/", "", signer.sign("GET", "/", "", web2)) == web1);
    CHECK(
        has(refusal([&] { (void)verifier.verify("GET", "/", "", signer.sign("GET", "/", "", web2)); }, ErrorKind::busy),
            "no room"));
    clock.passed += 239s;
    CHECK(has(refusal([&] { (void)verifier.verify("GET", "/", "", first); }), "clock"));
    clock.passed += 2s;
    CHECK(verifier.verify("GET", "/", "", signer.sign("GET", "/", "", web2)) == web1);
}

TEST_CASE("peer signing: the key file is strict, private, and keygen makes its lines") {
    const test::TempDir dir;
    const std::string line = generate_key_line(from_epoch_ms(1'700'000'000'000));
    CHECK(line.starts_with("key 2023-11-14-"));
    CHECK(line != generate_key_line(from_epoch_ms(1'700'000'000'000)));
    const ClusterKeys good = ClusterKeys::load(dir.write("good", line + "\n", 0600));
    CHECK(good.signing(web1, from_epoch_ms(0)).secret.size() == 32);
    CHECK(has(refusal([&] { (void)ClusterKeys::load(dir.write("open", line, 0644)); }, ErrorKind::forbidden), "open"));
    const auto fault = [](const std::string& text) {
        return refusal([&] { (void)ClusterKeys::parse(text); }, ErrorKind::invalid);
    };
    CHECK(has(fault(""), "keygen"));
    CHECK(has(fault("# x\nsecret\n"), "line 2"));
    CHECK(has(fault("key a !!!\n"), "base 64"));
    CHECK(has(fault("key a " + base64_encode("short") + "\n"), "16 bytes"));
    CHECK(has(fault(key_line("a", '1') + key_line("a", '2')), "twice"));
}
