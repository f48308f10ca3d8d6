// SPDX-License-Identifier: MIT
// What overlap and blue_green have in common: the new release runs beside the old until it is proved, and the old one
// goes last.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/build/strategy/instances.h"
#include "agent/build/strategy/strategy.h"

namespace baton::build {

/// One recipe, establish(), leads to "this release serves alone" from wherever a death of the agent left off; each of
/// its steps finds out by itself whether it was done.
class SideBySide : public Strategy {
  public:
    SideBySide(SwitchTools& tools, const config::Switch& how);

    void exchange(const std::optional<Runnable>& old, Runnable& next, bool redo) final;
    void go_back(Runnable& failed, Runnable& before) final;
    void end(Runnable& what) final;
    [[nodiscard]] bool serves_throughout() const final { return true; }
    void watch(const Runnable& what) final;

  protected:
    /// Which of two that both run and are of neither `next` is the one that users are served by.
    [[nodiscard]] virtual bool is_live(const Instance& instance) const = 0;
    /// Starts `what` at `colour`, where nothing runs, and proves it where no user can see it. `beside`: who serves
    /// users meanwhile. `tried`: it was proved before, and is wanted quickly.
    virtual Instance bring(Colour colour, Runnable& what, const std::optional<Instance>& beside, bool tried) = 0;
    /// Users' requests go to `to` from now on, and to no other: the others may be stopped when it returns.
    virtual void turn_to(const Instance& to, Runnable& what, const std::vector<Instance>& others) = 0;
    /// Where users are, once the others are gone; empty when that cannot be asked.
    [[nodiscard]] virtual std::string front_of(const Runnable& what) const;

    [[nodiscard]] SwitchTools& tools() const { return tools_; }
    [[nodiscard]] Instances& instances() const { return *instances_; }
    [[nodiscard]] std::string expanded(const Runnable& what, const std::string& text, unsigned port = 0) const;

  private:
    enum class Settled { may_be, is_not };
    void establish(Runnable& what, Settled settled, bool tried);
    std::optional<Instance> find_settled(Runnable& what) const;
    /// Who serves users now; none when nobody does.
    [[nodiscard]] std::optional<Instance> serving(const std::vector<Instance>& all, const Runnable& next) const;
    Instance bring_beside(Runnable& what, bool tried);
    void clear(Colour colour) const;

    SwitchTools& tools_;
    std::unique_ptr<Instances> instances_;
};

[[nodiscard]] std::unique_ptr<Strategy> make_overlap(SwitchTools& tools, const config::Switch& how);
[[nodiscard]] std::unique_ptr<Strategy> make_blue_green(SwitchTools& tools, const config::Switch& how);

}  // namespace baton::build
