// SPDX-License-Identifier: MIT
// The two places where releases of one app run side by side: blue and green. By a holder, or by the app's own steps.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/build/strategy/strategy.h"

namespace baton::build {

enum class Colour { blue, green };
inline constexpr std::array both_colours{Colour::blue, Colour::green};
[[nodiscard]] std::string_view to_text(Colour colour);
[[nodiscard]] Colour other(Colour colour);

/// Whom an instance is started for.
enum class Reach {
    trial,  ///< it alone is asked, at a port that nobody else knows
    users,
};

struct Instance {
    Colour colour = Colour::blue;
    std::string release;  ///< the directory's name
    Reach reach = Reach::users;
    bool runs = true;   ///< as far as can be told without asking it
    unsigned port = 0;  ///< where it alone can be asked
};

/// What runs, or may run. From the holders, or from what was noted durably before the steps ran.
[[nodiscard]] std::vector<Instance> find_instances(const BuildSpec& spec, const config::Switch& how);

/// One thread. A start that fails leaves nothing behind that stop() does not end.
class Instances {
  public:
    Instances() = default;
    Instances(const Instances&) = delete;
    Instances& operator=(const Instances&) = delete;
    virtual ~Instances() = default;

    [[nodiscard]] virtual std::vector<Instance> list() const = 0;
    /// Starts `what` at a colour where nothing runs, and sets its context's colour and port. Not proved.
    [[nodiscard]] virtual Instance start(Colour colour, Runnable& what, Reach reach) = 0;
    /// Asks it to finish its requests, and returns when nothing of it is left.
    virtual void stop(const Instance& instance) = 0;
    /// It has been proved: from now on it is started again when it ends by itself.
    virtual void keep(const Instance& instance) = 0;
    /// Whether `what` can be tried at a place that no user's request reaches.
    [[nodiscard]] virtual bool has_trials(const Runnable& what) const = 0;
    /// The last of what it has said, for the build's log.
    [[nodiscard]] virtual std::string output_of(const Instance& instance) const = 0;
};

/// Held where the options name a process; else by its steps.
[[nodiscard]] std::unique_ptr<Instances> make_instances(SwitchTools& tools, const config::Switch& how);

}  // namespace baton::build
