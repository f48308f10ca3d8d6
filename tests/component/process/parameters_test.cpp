// SPDX-License-Identifier: MIT
// What goes between agent and supervisor comes out as it went in, and nothing else is accepted.
#include "common/process/parameters.h"

#include <catch2/catch.hpp>

#include "common/error.h"

using namespace baton;
using namespace baton::process;

TEST_CASE("process: a command reaches its supervisor whole") {
    Parameters sent;
    sent.command.argv = {"sh", "-c", "echo \xff\n'x'"};
    sent.command.environment = {"A=", "B=\n"};
    sent.command.directory = "/srv/a b";
    sent.command.account = Account{33, 34, {1, 2, 3}, "/var/www", "www-data"};
    sent.command.timeout = Milliseconds(1234);
    sent.command.grace = Milliseconds(0);
    sent.command.limits.open_files = 1;
    sent.command.limits.core_bytes.reset();
    sent.command.priority = Priority::low;
    sent.command.listen_fds = true;
    sent.command.keep_leftovers = true;
    sent.kept_fds = 7;
    sent.cgroup = "/sys/fs/cgroup/x";
    const auto bytes = encode(sent);
    const auto got = decode_parameters(bytes);
    REQUIRE(got.command.argv == sent.command.argv);
    REQUIRE(got.command.environment == sent.command.environment);
    REQUIRE(got.command.directory == sent.command.directory);
    REQUIRE(got.command.account->groups == sent.command.account->groups);
    REQUIRE(got.command.account->name == "www-data");
    REQUIRE(got.command.timeout == Milliseconds(1234));
    REQUIRE(got.command.grace == Milliseconds(0));
    REQUIRE(got.command.limits.open_files == 1);
    REQUIRE_FALSE(got.command.limits.core_bytes.has_value());
    REQUIRE(got.kept_fds == 7);
    REQUIRE(got.cgroup == sent.cgroup);
    REQUIRE(encode(got) == bytes);

    for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
        REQUIRE_THROWS_AS(decode_parameters(std::string_view(bytes).substr(0, cut)), Error);
    }
    REQUIRE_THROWS_AS(decode_parameters(bytes + "x"), Error);
}

TEST_CASE("process: a report comes back whole, its text cut to what a message holds") {
    Result sent;
    sent.end = Result::End::signalled;
    sent.status = 9;
    sent.message.assign(100'000, 'm');
    const auto bytes = encode(sent);
    REQUIRE(bytes.size() <= most_report_bytes);
    const auto got = decode_result(bytes);
    REQUIRE(got.end == sent.end);
    REQUIRE(got.status == 9);
    auto wrong = bytes;
    wrong[0] = 99;
    REQUIRE_THROWS_AS(decode_result(wrong), Error);
}
