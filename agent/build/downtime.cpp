// SPDX-License-Identifier: MIT
// Spells of darkness.
#include "agent/build/downtime.h"

#include <algorithm>

namespace baton::build {

void DarkTime::add(const Look& look) {
    if (last_ && last_->good != look.good) {
        const auto border = last_->asked + (look.asked - last_->asked) / 2;
        if (!look.good) dark_since_ = border;
        if (look.good) finish(border);
    }
    ever_good_ = ever_good_ || look.good;
    last_ = look;
}

void DarkTime::finish(Instant end) {
    if (!dark_since_) return;
    if (spells_.size() < most_spells) {
        spells_.push_back({*dark_since_, std::max(end, *dark_since_)});
    } else {
        spells_.back().to = std::max(end, spells_.back().to);
    }
    dark_since_.reset();
}

Milliseconds dark_within(const std::vector<Spell>& spells, Instant from, Instant to) {
    Milliseconds sum{0};
    for (const auto& spell : spells) {
        sum += std::max(std::min(spell.to, to) - std::max(spell.from, from), Milliseconds(0));
    }
    return sum;
}

Milliseconds dark_in_all(const std::vector<Spell>& spells) {
    return dark_within(spells, Instant::min(), Instant::max());
}

}  // namespace baton::build
