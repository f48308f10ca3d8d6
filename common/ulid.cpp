// SPDX-License-Identifier: MIT
// Rollout ids: ULIDs.
#include "common/ulid.h"

#include <algorithm>
#include <cstring>

#include "common/clock.h"
#include "common/digest.h"

namespace baton {
namespace {

constexpr std::string_view crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
constexpr std::size_t ulid_length = 26;
constexpr std::size_t time_length = 10;

}  // namespace

RolloutId make_rollout_id(WallTime now, std::uint16_t high16, std::uint64_t low64) {
    std::string text(ulid_length, '0');
    auto time = static_cast<std::uint64_t>(to_epoch_ms(now));
    for (std::size_t i = time_length; i-- > 0; time >>= 5U) text[i] = crockford[time & 31U];
    std::uint64_t high = high16;
    for (std::size_t i = ulid_length; i-- > time_length;) {
        text[i] = crockford[low64 & 31U];
        low64 = (low64 >> 5U) | ((high & 31U) << 59U);
        high >>= 5U;
    }
    return RolloutId(std::move(text));
}

RolloutId new_rollout_id(WallTime now) {
    const std::string chance = random_bytes(10);
    std::uint16_t high16 = 0;
    std::uint64_t low64 = 0;
    std::memcpy(&high16, chance.data(), sizeof high16);
    std::memcpy(&low64, chance.data() + sizeof high16, sizeof low64);
    return make_rollout_id(now, high16, low64);
}

bool is_rollout_id(std::string_view text) {
    return text.size() == ulid_length && text.front() <= '7' &&
           std::ranges::all_of(text, [](char c) { return crockford.find(c) != std::string_view::npos; });
}

}  // namespace baton
