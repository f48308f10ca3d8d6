// SPDX-License-Identifier: MIT
// Small readers: durations, sizes, ids, hexadecimal and base 64, and what makes text safe to print.
#include "common/digest.h"
#include "common/json.h"
#include "common/text.h"
#include "common/types.h"
#include "common/ulid.h"
#include "tests/fuzz/fuzz.h"

#include <nlohmann/json.hpp>

namespace {

bool has_control(std::string_view text) {
    for (const char c : text) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return true;
    }
    return false;
}

}  // namespace

void baton::fuzz::run(std::string_view input) {
    if (const auto duration = parse_duration(input)) {
        expect(parse_duration(to_text(*duration)) == duration, "a duration reads back");
        (void)human_duration(*duration);
    }
    (void)parse_size(input);
    (void)parse_whole(input);
    expect(!is_rollout_id(input) || input.size() == 26, "a rollout's id has 26 characters");
    expect(!is_commit_id(input) || input.size() == 40 || input.size() == 64, "a commit id has 40 or 64 digits");
    if (const auto bytes = from_hex(input)) expect(to_hex(*bytes) == lower(input), "hexadecimal reads back");
    expect(from_hex(to_hex(input)) == std::string(input), "all bytes go through hexadecimal");
    expect(base64_decode(base64_encode(input)) == input, "all bytes go through base 64");
    refused_or([&] { (void)base64_decode(input); });
    const std::string escaped = escape_control(input);
    expect(!has_control(escaped) && valid_utf8(escaped) == escaped, "what is escaped is one line of good text");
    const std::string valid = valid_utf8(input);
    expect(valid_utf8(valid) == valid, "what is valid stays");
    expect(first_line(input, 20).size() <= 20 + 3, "a first line is cut");
    refused_or([&] { expect(json::parse(json::dump(json::parse(input))) == json::parse(input), "JSON reads back"); });
    const std::vector<std::string> known{"web1", "web2", "shop"};
    (void)nearest(input.substr(0, 64), known);
}
