// SPDX-License-Identifier: MIT
// baton.yaml: written by whoever may push.
#include "common/config/load.h"
#include "tests/fuzz/fuzz.h"

void baton::fuzz::run(std::string_view input) {
    refused_or([&] {
        const config::Pipeline first = config::parse_pipeline(input, "baton.yaml");
        const std::string printed = config::to_yaml(first);
        try {
            expect(config::to_yaml(config::parse_pipeline(printed, "printed.yaml")) == printed, "printing is stable");
        } catch (const Error& error) {
            std::fprintf(stderr, "%s\n%s\n", error.what(), printed.c_str());
            expect(false, "the printed pipeline is accepted");
        }
    });
}
