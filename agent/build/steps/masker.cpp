// SPDX-License-Identifier: MIT
// Secrets out of a stream of output.
#include "agent/build/steps/masker.h"

#include <Poco/URI.h>
#include <algorithm>

#include "common/text.h"

namespace baton::build {

Masker::Masker(const std::vector<std::string>& secrets) {
    for (const auto& secret : secrets) {
        for (const auto& line : split(secret, '\n')) {
            const auto text = trim(line);
            add(text);
            std::string encoded;
            Poco::URI::encode(std::string(text), "!#$&'()*+,/:;=?@[]", encoded);
            if (encoded != text) add(encoded);
        }
    }
}

void Masker::add(std::string_view secret) {
    if (secret.size() < least_secret || std::ranges::find(secrets_, secret) != secrets_.end()) return;
    secrets_.emplace_back(secret);
    first_[static_cast<unsigned char>(secret.front())] = true;
}

std::string Masker::feed(std::string_view chunk) {
    if (secrets_.empty()) return std::string(chunk);
    pending_ += chunk;
    return scan(More::expected);
}

std::string Masker::flush() { return scan(More::none); }

std::string Masker::scan(More more) {
    std::string shown;
    shown.reserve(pending_.size());
    const std::string_view text = pending_;
    std::size_t at = 0;
    std::size_t covered_to = covered_;
    for (; at < text.size(); ++at) {
        if (first_[static_cast<unsigned char>(text[at])]) {
            const auto rest = text.substr(at);
            bool undecided = false;
            std::size_t longest = 0;
            for (const auto& secret : secrets_) {
                if (rest.starts_with(secret)) {
                    longest = std::max(longest, secret.size());
                } else if (more == More::expected && std::string_view(secret).starts_with(rest)) {
                    undecided = true;
                }
            }
            if (undecided) break;
            // Two secrets that overlap become one run of stars: nothing of either may show.
            if (longest > 0 && at >= covered_to) shown += "****";
            if (longest > 0) covered_to = std::max(covered_to, at + longest);
        }
        if (at >= covered_to) shown += text[at];
    }
    covered_ = covered_to > at ? covered_to - at : 0;
    pending_.erase(0, at);
    return shown;
}

}  // namespace baton::build
