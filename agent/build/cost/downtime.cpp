// SPDX-License-Identifier: MIT
// Spells of darkness.
#include "agent/build/cost/downtime.h"

#include <algorithm>

namespace baton::build {

void DarkTime::add(const Look& look) {
    if (last_ && last_->good != look.good) {
        // A question that hung was lost like those that users asked while it hung; one that was refused took no time.
        const auto since = last_->good ? last_->asked : std::min(last_->answered, look.asked);
        const auto border = since + (look.asked - since) / 2;
        if (!look.good) open_ = Spell{border, border, last_->asked, look.asked};
        if (look.good) finish(border);
    }
    ever_good_ = ever_good_ || look.good;
    last_ = look;
}

void DarkTime::finish(Instant end) {
    if (!open_) return;
    if (spells_.size() < most_spells) {
        open_->to = std::max(end, open_->from);
        spells_.push_back(*open_);
    } else {
        spells_.back().to = std::max(end, spells_.back().to);
    }
    open_.reset();
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
