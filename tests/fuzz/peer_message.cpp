// SPDX-License-Identifier: MIT
// What agents write to each other: whatever is accepted is passed on as what it was.
#include "agent/engine/peer_wire.h"
#include <nlohmann/json.hpp>

#include "tests/fuzz/fuzz.h"

void baton::fuzz::run(std::string_view input) {
    refused_or([&] {
        const std::string first = json::dump(engine::to_json(engine::parse_exchange(input)));
        try {
            expect(json::dump(engine::to_json(engine::parse_exchange(first))) == first, "printing is stable");
        } catch (const Error& error) {
            std::fprintf(stderr, "%s\n%s\n", error.what(), first.c_str());
            expect(false, "what was accepted and printed is accepted");
        }
    });
}
