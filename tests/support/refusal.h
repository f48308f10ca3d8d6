// SPDX-License-Identifier: MIT
// Why something was refused, and lines of key files, for the tests of several rooms.
#pragma once

#include <catch2/catch.hpp>
#include <functional>
#include <string>
#include <string_view>

#include "common/digest.h"
#include "common/error.h"

namespace baton::test {

/// A line of a key file: 32 bytes of `fill`, and what may follow.
inline std::string key_line(const std::string& id, char fill, const std::string& rest = "") {
    return "key " + id + " " + base64_encode(std::string(32, fill)) + rest + "\n";
}

/// Why `work` was refused; fails the test when it was not, or with another kind of error.
inline std::string refusal(const std::function<void()>& work, ErrorKind kind) {
    try {
        work();
    } catch (const Error& error) {
        CHECK(error.kind() == kind);
        return error.what();
    }
    FAIL("accepted");
    return {};
}

inline bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace baton::test
