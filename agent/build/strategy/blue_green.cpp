// SPDX-License-Identifier: MIT
// blue_green: each release on a port of its own, and the web server told which of the two it is.
#include <fmt/format.h>

#include "agent/build/steps/health.h"
#include "agent/build/strategy/proof.h"
#include "agent/build/strategy/side_by_side.h"
#include "agent/build/strategy/upstream.h"
#include "agent/build/traffic/traffic.h"
#include "common/error.h"
#include "common/text.h"

namespace baton::build {

namespace {

class BlueGreen final : public SideBySide {
  public:
    BlueGreen(SwitchTools& tools, const config::Switch& how)
        : SideBySide(tools, how),
          upstream_(tools.spec.app->deploy_to / "shared" / how.options.upstream_file,
                    tools.spec.app->deploy_to / "releases" / ".upstream") {}

  protected:
    /// The truth is what the web server was told.
    bool is_live(const Instance& instance) const override { return names_port(upstream_.text(), instance.port); }

    Instance bring(Colour colour, Runnable& what, const std::optional<Instance>& beside, bool /*tried*/) override {
        const auto ports = what.how().options.ports;
        const unsigned port = colour == Colour::blue ? ports.at(0) : ports.at(1);
        // A try that was cut off may have turned users to this place, where something else is started now.
        if (beside && names_port(upstream_.text(), port)) tell(what, beside->port);
        auto instance = instances().start(colour, what, Reach::users);
        prove(tools(), what, ProofOf::min_healthy_time);
        warm_up(tools(), what);
        return instance;
    }

    void turn_to(const Instance& to, Runnable& what, const std::vector<Instance>& others) override {
        const bool turned = tell(what, to.port);
        watch(what);
        prove_at(tools(), what, front_of(what), ProofOf::one_answer);
        const auto& traffic = tools().spec.agent->traffic_of(*tools().spec.app);
        if (others.empty() && turned) {
            // One answer came from the web server's new workers. Those of before the reload take a moment to go, and
            // send requests to where nobody listens.
            tools().listener.waits_for(
                fmt::format("{} for the web server to turn round", baton::to_text(traffic.settle)));
            pause_for(traffic.settle, {});
        }
        for (const auto& one : others) drain(traffic, one, upstream_text(what, one.port));
        tools().listener.waits_for("");
    }

  private:
    std::string upstream_text(const Runnable& what, unsigned port) const {
        return expanded(what, what.how().options.upstream_template, port);
    }

    /// Until the web server goes by it; false when it did so already. Where it refuses, it goes on as before, and the
    /// file says so.
    bool tell(const Runnable& what, unsigned port) {
        const auto text = upstream_text(what, port);
        if (upstream_.is_told(text)) return false;
        upstream_.write(text);
        config::Step reload;
        reload.name = "tell the web server: port " + std::to_string(port);
        reload.command = what.how().options.reload;
        auto context = what.context;
        context.stage = wire::Stage::switch_over;
        try {
            tools().runner.run(reload, context, what.release, process::Priority::normal, {});
        } catch (const Error&) {
            upstream_.take_back();
            throw;
        }
        upstream_.note_told(text);
        return true;
    }

    void drain(const config::Traffic& traffic, const Instance& one, const std::string& text) {
        tools().listener.waits_for(fmt::format("the web server to leave {}", to_text(one.colour)));
        const auto left =
            wait_until_deserted(traffic, static_cast<std::uint16_t>(one.port), host_before(text, one.port));
        if (left == 0) return;
        tools().meter.cut(left);
        tools().log.line(fmt::format("{} requests are still in flight at {} after {}: it is stopped all the same", left,
                                     to_text(one.colour), baton::to_text(traffic.drain_timeout)));
    }

    Upstream upstream_;
};

}  // namespace

std::unique_ptr<Strategy> make_blue_green(SwitchTools& tools, const config::Switch& how) {
    return std::make_unique<BlueGreen>(tools, how);
}

}  // namespace baton::build
