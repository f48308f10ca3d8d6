// SPDX-License-Identifier: MIT
// When did the app not answer? Spells of darkness from a series of looks; no thread, no clock.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "common/types.h"

namespace baton::build {

/// One question to the app.
struct Look {
    Instant asked;
    Instant answered;
    bool good = false;  ///< it answered as it should
};

struct Spell {
    Instant from;
    Instant to;
    Instant last_good{};  ///< it began after this look was asked …
    Instant first_bad{};  ///< … and before this one was
};

/// Looks in the order of time, one by one, become spells. A border between good and bad lies in the middle between
/// the moments at which the two looks were asked: nobody knows better, and over many borders the error is none. Only
/// a bad look that hung was bad until it ended: the spell ends between that and the next one's beginning.
class DarkTime {
  public:
    /// More spells than this are no deploy; later ones are added to the last, which errs to the dark side.
    static constexpr std::size_t most_spells = 1'000;

    void add(const Look& look);
    /// Closes what is open: the app was still dark at `end`.
    void finish(Instant end);

    /// Dark before the first good answer does not count: the app was down already, whoever did that.
    [[nodiscard]] const std::vector<Spell>& spells() const { return spells_; }
    [[nodiscard]] bool ever_good() const { return ever_good_; }
    /// The last look was bad.
    [[nodiscard]] bool dark() const { return last_ && !last_->good; }

  private:
    std::optional<Look> last_;
    std::optional<Spell> open_;
    bool ever_good_ = false;
    std::vector<Spell> spells_;
};

/// The part of the spells that lies between the two.
[[nodiscard]] Milliseconds dark_within(const std::vector<Spell>& spells, Instant from, Instant to);
[[nodiscard]] Milliseconds dark_in_all(const std::vector<Spell>& spells);

}  // namespace baton::build
