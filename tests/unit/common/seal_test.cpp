// SPDX-License-Identifier: MIT
// Sealing: what comes out is what went in, for who has the key, in the same place, and unchanged.
#include <catch2/catch.hpp>

#include "common/error.h"
#include "common/seal.h"
#include "common/text.h"

using namespace baton;

namespace {

ErrorKind kind_of_failure(const std::string& key, const std::string& sealed, const std::string& context) {
    try {
        (void)unseal(key, sealed, context);
    } catch (const Error& error) {
        return error.kind();
    }
    return ErrorKind::internal;
}

}  // namespace

TEST_CASE("seal: a text comes back whole, and is not to be seen in what is kept") {
    const std::string key = "a cluster key of some length";
    for (const std::string& plain : {std::string("x"), std::string("pass\0word\n", 10), std::string(70'000, 's')}) {
        const std::string sealed = seal(key, plain, "shop TOKEN");
        CHECK(sealed.size() == plain.size() + 16);
        CHECK(sealed.find(plain) == std::string::npos);
        CHECK(unseal(key, sealed, "shop TOKEN") == plain);
        // Two triggers with the same password are one.
        CHECK(seal(key, plain, "shop TOKEN") == sealed);
        CHECK(seal(key, plain, "shop OTHER") != sealed);
    }
    CHECK_THROWS_AS(seal(key, "", "shop TOKEN"), Error);
}

TEST_CASE("seal: another key, another place and changed bytes are found out") {
    const std::string sealed = seal("key", "let me in", "shop TOKEN");
    CHECK(kind_of_failure("kez", sealed, "shop TOKEN") == ErrorKind::corrupt);
    CHECK(kind_of_failure("key", sealed, "shop TOKEM") == ErrorKind::corrupt);
    CHECK(kind_of_failure("key", sealed.substr(0, 16), "shop TOKEN") == ErrorKind::corrupt);
    CHECK(kind_of_failure("key", "", "shop TOKEN") == ErrorKind::corrupt);
    for (std::size_t at = 0; at < sealed.size(); ++at) {
        std::string changed = sealed;
        changed[at] = static_cast<char>(changed[at] ^ 1);
        CHECK(kind_of_failure("key", changed, "shop TOKEN") == ErrorKind::corrupt);
    }
}

TEST_CASE("seal: what an independent reading of RFC 5297 makes of the same key and text") {
    // A change of the derivation would make every value kept so far unreadable.
    CHECK(to_hex(seal("key", "let me in", "shop TOKEN")) == "cc8a7913998e76c53401fa2ed6482e0a42c3e4da1b2e6dcbba");
}
