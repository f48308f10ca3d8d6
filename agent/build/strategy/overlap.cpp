// SPDX-License-Identifier: MIT
// overlap: both releases accept on the same socket for a moment. It is never closed, so that no connection is refused,
// and the new release joins only after a trial of its own: one process of it on a port that nobody else knows.
#include <fmt/format.h>

#include "agent/build/strategy/proof.h"
#include "agent/build/strategy/side_by_side.h"
#include "common/process/listener.h"

namespace baton::build {

namespace {

class Overlap final : public SideBySide {
  public:
    using SideBySide::SideBySide;

  protected:
    bool is_live(const Instance& instance) const override {
        const auto before = tools().publisher.previous();
        return before && instance.release == before->filename();
    }

    Instance bring(Colour colour, Runnable& what, const std::optional<Instance>& beside, bool tried) override {
        // Where nobody serves, users can see nothing worse than that; and what was proved before needs no trial.
        const bool trial = beside && !tried && instances().has_trials(what);
        if (trial) {
            const auto first = instances().start(colour, what, Reach::trial);
            prove(tools(), what, ProofOf::min_healthy_time);
            warm_up(tools(), what);
            instances().stop(first);
        }
        auto instance = instances().start(colour, what, Reach::users);
        prove(tools(), what, trial ? ProofOf::one_answer : ProofOf::min_healthy_time);
        warm_up(tools(), what);
        return instance;
    }

    void turn_to(const Instance&, Runnable&, const std::vector<Instance>&) override {
        // It accepts already; once the others have stopped it is the only one.
    }

    std::string front_of(const Runnable& what) const override {
        auto front = SideBySide::front_of(what);
        const auto port = process::port_of(what.how().options.listen);
        if (front.empty() && port != 0 && what.pipeline.health) {
            front = expanded(what, what.pipeline.health->http, port);
        }
        return front;
    }
};

}  // namespace

std::unique_ptr<Strategy> make_overlap(SwitchTools& tools, const config::Switch& how) {
    return std::make_unique<Overlap>(tools, how);
}

}  // namespace baton::build
