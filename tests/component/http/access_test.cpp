// SPDX-License-Identifier: MIT
// Wrong credentials: counted by address, forgotten in time, and no way to make others pay for them.
#include "agent/http/access/access.h"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "common/error.h"

using namespace baton;
using namespace baton::http;
using namespace std::chrono_literals;

namespace {

class HandClock final : public Clock {
  public:
    [[nodiscard]] WallTime wall() const override { return WallTime{} + passed; }
    [[nodiscard]] Instant now() const override { return Instant{} + 1h + passed; }
    Milliseconds passed{0};
};

bool braked(FailureBrake& brake, const std::string& address) {
    try {
        brake.check(address);
        return false;
    } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::busy);
        return true;
    }
}

void fail(FailureBrake& brake, const std::string& address, unsigned times) {
    for (unsigned i = 0; i < times; ++i) (void)brake.failed(address);
}

}  // namespace

TEST_CASE("brake: an address that fails too often waits for a minute, others do not") {
    HandClock clock;
    FailureBrake brake(clock);
    fail(brake, "10.0.0.1", FailureBrake::free_failures - 1);
    CHECK_FALSE(braked(brake, "10.0.0.1"));
    fail(brake, "10.0.0.1", 1);
    CHECK(braked(brake, "10.0.0.1"));
    CHECK_FALSE(braked(brake, "10.0.0.2"));
    clock.passed += FailureBrake::window;
    CHECK_FALSE(braked(brake, "10.0.0.1"));
    fail(brake, "10.0.0.1", 1);
    CHECK_FALSE(braked(brake, "10.0.0.1"));
    CHECK(brake.failures() == FailureBrake::free_failures + 1);
}

TEST_CASE("brake: the addresses of one IPv6 network are one") {
    HandClock clock;
    FailureBrake brake(clock);
    for (unsigned i = 0; i < FailureBrake::free_failures; ++i) (void)brake.failed(fmt::format("2001:db8:1:2::{:x}", i));
    CHECK(braked(brake, "2001:db8:1:2:ffff::1"));
    CHECK_FALSE(braked(brake, "2001:db8:1:3::1"));
}

TEST_CASE("brake: a crowd of addresses makes none of the others forgotten before its time") {
    HandClock clock;
    FailureBrake brake(clock);
    fail(brake, "10.9.9.9", 1);
    clock.passed += 1ms;
    fail(brake, "10.0.0.1", FailureBrake::free_failures);
    clock.passed += 1ms;
    for (std::size_t i = 0; i < FailureBrake::most_addresses - 1; ++i) {
        (void)brake.failed(fmt::format("172.16.{}.{}", i / 256, i % 256));
    }
    CHECK(braked(brake, "10.0.0.1"));
}
