// SPDX-License-Identifier: MIT
// Repository URLs: what git gets, what is compared, and what is printed.
#include "common/git/remote_url.h"
#include "common/net/push_event.h"
#include "common/text.h"
#include "tests/fuzz/fuzz.h"

void baton::fuzz::run(std::string_view input) {
    refused_or([&] {
        const git::RemoteUrl url = git::parse_remote_url(std::string(input));
        expect(!url.plain.starts_with('-'), "nothing becomes an option of git's");
        expect(url.plain.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos, "no line ends");
        expect(url.scope.empty() || url.plain.substr(0, url.plain.find('/', 8)).find('@') == std::string::npos,
               "neither user nor password is among git's arguments");
    });
    (void)git::mask_urls_in(input);
    const std::string masked = mask_url(input);
    expect(mask_url(masked) == masked, "masking twice masks no more");
    net::PushEvent event;
    event.repository_urls = {std::string(input)};
    expect(net::names_repository(event, input), "a repository is itself");
}
