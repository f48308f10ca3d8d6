// SPDX-License-Identifier: MIT
// Webhooks: header lines, an empty line, the payload. Signature and payload are read whatever the other says.
#include "common/net/webhook.h"

#include "common/clock.h"
#include "common/net/push_event.h"
#include "common/text.h"
#include "tests/fuzz/fuzz.h"

void baton::fuzz::run(std::string_view input) {
    net::HeaderList headers;
    while (!input.empty()) {
        const auto [line, rest] = first_line_of(input);
        input = rest;
        if (line.empty()) break;
        const auto colon = line.find(':');
        if (colon == std::string_view::npos) continue;
        headers.add(std::string(line.substr(0, colon)), std::string(trim(line.substr(colon + 1))));
    }
    const std::vector<std::string> secrets{"It's a Secret to Everybody", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                                           "whsec_", "whsec_=!"};
    refused_or([&] { (void)net::verify_webhook(headers, input, secrets, from_epoch_ms(1'614'265'330'000)); });
    refused_or([&] {
        const net::PushEvent event = net::parse_push_event(headers, input);
        for (const auto& url : event.repository_urls) {
            expect(net::names_repository(event, url), "an event names each of its own repositories");
        }
        for (const auto& change : event.changes) {
            expect(change.commit.empty() || is_commit_id(change.commit.str()), "a commit is one");
            expect(!change.deleted || change.commit.empty(), "what is deleted has no commit");
        }
    });
}
