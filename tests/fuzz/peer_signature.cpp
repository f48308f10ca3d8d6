// SPDX-License-Identifier: MIT
// The cluster key file and the headers of a signed request; and the tokens file.
#include "common/config/tokens.h"
#include "common/net/peer_signing.h"
#include "common/text.h"
#include "tests/fuzz/fuzz.h"

namespace {

class StillClock final : public baton::Clock {
  public:
    [[nodiscard]] baton::WallTime wall() const override { return baton::from_epoch_ms(1'700'000'000'000); }
    [[nodiscard]] baton::Instant now() const override { return baton::Instant{}; }
};

}  // namespace

void baton::fuzz::run(std::string_view input) {
    refused_or([&] { (void)config::parse_tokens(input, "tokens"); });
    refused_or([&] { (void)net::ClusterKeys::parse(input); });
    static const StillClock clock;
    static net::PeerVerifier verifier(net::ClusterKeys::parse("key a MTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTE="),
                                      NodeName("web1"), clock);
    net::HeaderList headers;
    for (std::string_view rest = input; !rest.empty();) {
        const auto [line, after] = first_line_of(rest);
        rest = after;
        const auto colon = line.find(':');
        if (colon != std::string_view::npos)
            headers.add(std::string(line.substr(0, colon)), std::string(trim(line.substr(colon + 1))));
    }
    bool accepted = false;
    refused_or([&] {
        (void)verifier.verify("POST", "/peer/v1/chain/shop", input, headers);
        accepted = true;
    });
    expect(!accepted, "nobody guesses a signature");
}
