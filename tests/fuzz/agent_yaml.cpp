// SPDX-License-Identifier: MIT
// agent.yaml: what is accepted prints as what reads back the same.
#include "common/config/load.h"
#include "tests/fuzz/fuzz.h"

void baton::fuzz::run(std::string_view input) {
    refused_or([&] { (void)config::detect_kind(input); });
    refused_or([&] {
        const config::AgentConfig first = config::parse_agent_config(input, "agent.yaml");
        const std::string printed = config::to_yaml(first);
        try {
            const config::AgentConfig second = config::parse_agent_config(printed, "printed.yaml");
            expect(second.hash == first.hash, "the printed configuration has the same hash");
            expect(config::to_yaml(second) == printed, "printing is stable");
        } catch (const Error& error) {
            std::fprintf(stderr, "%s\n%s\n", error.what(), printed.c_str());
            expect(false, "the printed configuration is accepted");
        }
        config::AgentConfig bound = first;
        if (!first.nodes.empty()) refused_or([&] { config::bind_to_node(bound, first.nodes.back().name); });
    });
}
