// SPDX-License-Identifier: MIT
// Blue and green: by a holder, or by the app's own steps.
#include "agent/build/strategy/instances.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "common/config/expand.h"
#include "common/error.h"
#include "common/file.h"
#include "common/json.h"
#include "common/process/hold.h"
#include "common/process/listener.h"
#include "common/text.h"

namespace baton::build {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t most_note_bytes = 64UL * 1024;
constexpr std::size_t most_output_bytes = 4096;

fs::path folder_of(const BuildSpec& spec) { return spec.agent->state_dir / "instances" / spec.app->name.str(); }

int number_of(config::StopSignal signal) {
    switch (signal) {
        case config::StopSignal::term: return SIGTERM;
        case config::StopSignal::interrupt: return SIGINT;
        case config::StopSignal::quit: return SIGQUIT;
        case config::StopSignal::hang_up: return SIGHUP;
        case config::StopSignal::user1: return SIGUSR1;
        case config::StopSignal::user2: return SIGUSR2;
    }
    return SIGTERM;
}

std::size_t index_of(Colour colour) { return colour == Colour::blue ? 0 : 1; }

std::string name_of(Colour colour) { return std::string(to_text(colour)); }

std::string_view word_for(Reach reach) { return reach == Reach::trial ? "trial" : "users"; }

/// What a holder is told to answer when it is asked what it holds: release, reach and, where the app opens it itself,
/// port.
std::string label_of(const Instance& instance) {
    return fmt::format("{} {} {}", instance.release, word_for(instance.reach), instance.port);
}

std::vector<Instance> held_instances(const BuildSpec& spec) {
    std::vector<Instance> found;
    for (const auto colour : both_colours) {
        const auto held = process::find_held(folder_of(spec), name_of(colour));
        if (!held) continue;
        const auto words = split(held->label, ' ');
        if (words.size() != 3) throw Error(ErrorKind::corrupt, fmt::format("a holder says '{}'", held->label));
        Instance instance;
        instance.colour = colour;
        instance.release = words[0];
        instance.reach = words[1] == "trial" ? Reach::trial : Reach::users;
        instance.runs = held->state != process::Held::State::ended;
        instance.port = held->own_port != 0 ? held->own_port : static_cast<unsigned>(parse_whole(words[2]).value_or(0));
        found.push_back(std::move(instance));
    }
    return found;
}

/// Under a holder each, which hands the requests' socket from one to the next.
class HeldInstances final : public Instances {
  public:
    HeldInstances(SwitchTools& tools, config::Strategy strategy) : tools_(tools), strategy_(strategy) {}

    std::vector<Instance> list() const override { return held_instances(tools_.spec); }

    Instance start(Colour colour, Runnable& what, Reach reach) override {
        const auto& options = what.how().options;
        const bool overlap = what.how().strategy == config::Strategy::overlap;
        what.context.stage = wire::Stage::switch_over;
        what.context.colour = to_text(colour);
        what.context.port = overlap ? 0 : options.ports.at(index_of(colour));
        Instance instance{colour, what.id(), reach, true, what.context.port};
        process::HoldOrder order;
        order.folder = folder_of(tools_.spec);
        order.name = name_of(colour);
        order.others = {name_of(other(colour))};
        order.label = label_of(instance);
        order.command.argv = {"/bin/sh", "-c", options.process};
        order.command.environment = step_environment(tools_.spec, what.context, {});
        order.command.directory = what.release;
        order.command.account = tools_.runner.account();
        order.stop_signal = number_of(options.stop_signal);
        order.stop_timeout = options.stop_timeout;
        if (overlap) {
            const auto variables = health_variables(tools_.spec, what.context.commit);
            const auto listen = config::expand(options.listen, variables);
            order.own_host = own_host(listen);
            if (reach == Reach::users) order.listen = listen;
        }
        fs::create_directories(order.folder.parent_path());
        tools_.runner.built_in(fmt::format("start {}{}", to_text(colour), reach == Reach::trial ? " as a trial" : ""),
                               what.context.stage, [&] {
                                   const auto held = process::hold(order);
                                   if (overlap) instance.port = held.own_port;
                               });
        what.context.port = instance.port;
        return instance;
    }

    void stop(const Instance& instance) override {
        tools_.runner.built_in(fmt::format("stop {}", to_text(instance.colour)), wire::Stage::switch_over,
                               [&] { process::end_held(folder_of(tools_.spec), name_of(instance.colour)); });
    }

    void keep(const Instance& instance) override {
        process::keep_held(folder_of(tools_.spec), name_of(instance.colour));
    }

    bool has_trials(const Runnable&) const override { return strategy_ == config::Strategy::overlap; }

    std::string output_of(const Instance& instance) const override {
        return process::output_of_held(folder_of(tools_.spec), name_of(instance.colour), most_output_bytes);
    }

  private:
    /// The second socket lies on the address of the first, so that one health address does for both.
    static std::string own_host(const std::string& listen) {
        const auto host = listen.substr(0, listen.rfind(':'));
        const bool any = listen.starts_with('/') || host == "0.0.0.0" || host == "[::]";
        return any ? "127.0.0.1" : host;
    }

    SwitchTools& tools_;
    config::Strategy strategy_;
};

fs::path note_of(const BuildSpec& spec) { return spec.app->deploy_to / "releases" / ".instances.json"; }

json::Value read_note(const BuildSpec& spec) {
    const auto file = note_of(spec);
    if (!fs::exists(file)) return json::Value::object();
    return with_context(fmt::format("read {}", file.string()),
                        [&] { return json::parse(read_file(file, most_note_bytes)); });
}

std::vector<Instance> noted_instances(const BuildSpec& spec) {
    std::vector<Instance> found;
    const auto note = read_note(spec);
    for (const auto colour : both_colours) {
        const auto at = note.find(to_text(colour));
        if (at == note.end()) continue;
        // Without the word it was written when there were no trials by steps.
        const auto reach = at->contains("reach") ? json::text(*at, "reach") : "users";
        found.push_back({colour, json::text(*at, "release"), reach == "trial" ? Reach::trial : Reach::users, true,
                         static_cast<unsigned>(json::whole(*at, "port"))});
    }
    return found;
}

/// By `trial`, `restart` and `stop` steps that look at BATON_COLOR: units of systemd, above all. What was started is noted
/// before it is, and until it has been stopped.
class SteppedInstances final : public Instances {
  public:
    explicit SteppedInstances(SwitchTools& tools) : tools_(tools) {}

    std::vector<Instance> list() const override { return noted_instances(tools_.spec); }

    Instance start(Colour colour, Runnable& what, Reach reach) override {
        const Instance instance{colour, what.id(), reach, true, what.how().options.ports.at(index_of(colour))};
        note(instance, true);
        run(what, instance, reach == Reach::trial ? what.how().trial : what.how().restart);
        return instance;
    }

    void stop(const Instance& instance) override {
        auto what = tools_.runnable(tools_.publisher.directory_of(instance.release));
        run(what, instance, what.how().stop);
        note(instance, false);
    }

    void keep(const Instance&) override {}
    bool has_trials(const Runnable& what) const override { return !what.how().trial.empty(); }
    std::string output_of(const Instance&) const override { return {}; }

  private:
    void run(Runnable& what, const Instance& instance, const std::vector<config::Step>& steps) {
        what.context.stage = wire::Stage::switch_over;
        what.context.colour = to_text(instance.colour);
        what.context.port = instance.port;
        for (const auto& step : steps) {
            tools_.runner.run(step, what.context, what.release, process::Priority::normal, {});
        }
    }

    void note(const Instance& instance, bool there) {
        auto value = read_note(tools_.spec);
        value.erase(name_of(instance.colour));
        if (there) {
            value[name_of(instance.colour)] = {
                {"release", instance.release}, {"port", instance.port}, {"reach", word_for(instance.reach)}};
        }
        write_file_atomically(note_of(tools_.spec), json::dump(value), 0640);
    }

    SwitchTools& tools_;
};

}  // namespace

std::string_view to_text(Colour colour) { return colour == Colour::blue ? "blue" : "green"; }

Colour other(Colour colour) { return colour == Colour::blue ? Colour::green : Colour::blue; }

std::vector<Instance> find_instances(const BuildSpec& spec, const config::Switch& how) {
    return how.options.process.empty() ? noted_instances(spec) : held_instances(spec);
}

std::unique_ptr<Instances> make_instances(SwitchTools& tools, const config::Switch& how) {
    if (how.options.process.empty()) return std::make_unique<SteppedInstances>(tools);
    return std::make_unique<HeldInstances>(tools, how.strategy);
}

}  // namespace baton::build
