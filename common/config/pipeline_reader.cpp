// SPDX-License-Identifier: MIT
// baton.yaml: written by whoever may push, so nothing in it reaches beyond the app.
#include <algorithm>
#include <set>

#include "common/config/fields.h"
#include "common/config/load.h"
#include "common/config/readers.h"
#include "common/text.h"

namespace baton::config {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_steps = 200;
constexpr std::size_t most_patterns = 64;
constexpr std::size_t most_variables = 200;

/// The lists of steps; what a step may say depends on where it stands.
enum class Place { prepare, test, migrate, stop, trial, restart };

std::string_view name_of(Place place) {
    switch (place) {
        case Place::prepare: return "prepare";
        case Place::test: return "test";
        case Place::migrate: return "migrate";
        case Place::stop: return "stop";
        case Place::trial: return "trial";
        case Place::restart: return "restart";
    }
    return "?";
}

bool is_variable_name(std::string_view name) {
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
    return !name.empty() && letter(name.front()) &&
           std::ranges::all_of(name, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

void read_env(Fields& step, std::map<std::string, std::string>& env) {
    const auto* map = step.value("env");
    if (map == nullptr) return;
    if (map->kind != yaml::Kind::map) {
        step.fault("env", "'env' must be a map of variables and values");
        return;
    }
    if (map->entries.size() > most_variables) {
        step.fault("env",
                   fmt::format("'env' has {} variables, at most {} are allowed", map->entries.size(), most_variables));
        return;
    }
    for (const auto& [key, at, value] : map->entries) {
        if (!is_variable_name(key)) {
            step.report().fault(
                at, fmt::format("'{}' is not the name of a variable (write letters, digits and _)", shown(key)));
        } else if (key.starts_with("BATON_")) {
            step.report().fault(at, fmt::format("'{}': names that begin with BATON_ are the agent's own", shown(key)));
        } else if (value.kind == yaml::Kind::scalar) {
            env[key] = value.text;
        } else if (value.kind != yaml::Kind::broken) {
            step.report().fault(value.kind == yaml::Kind::null ? at : value.at,
                                fmt::format("'{}' must be a string (write \"\" for an empty one)", shown(key)));
        }
    }
}

/// Keys that have a meaning in some places only.
void check_place(Fields& fields, const Step& step, Place place) {
    const auto only = [&](std::string_view key, bool here, std::string_view where) {
        if (fields.has(key) && !here)
            fields.fault(key, fmt::format("'{}' belongs to {} only, not to '{}'", key, where, name_of(place)));
    };
    const bool restarts = place == Place::stop || place == Place::trial || place == Place::restart;
    only("virtualenv", place == Place::prepare, "'prepare'");
    only("junit", place == Place::test, "'test'");
    only("min_tests", place == Place::test, "'test'");
    only("once", place == Place::migrate, "'migrate'");
    only("keep_processes", restarts, "'stop', 'trial' and 'restart'");
    if (step.min_tests && step.junit.empty()) {
        fields.fault("min_tests", "'min_tests' needs 'junit', the reports in which the tests are counted");
    }
}

Step read_step(const yaml::Value& item, std::size_t number, Place place, yaml::Report& report) {
    Step step;
    Fields fields(item, fmt::format("step {} of '{}'", number, name_of(place)), item.at, report);
    fields.block("run", step.command);
    if (fields.has("virtualenv")) step.kind = Step::Kind::virtualenv;
    fields.inner_path("virtualenv", step.command);
    if (fields.has("run") && fields.has("virtualenv")) {
        fields.fault("virtualenv", "a step is either 'run' or 'virtualenv': make two of it");
    } else if (!fields.has("virtualenv")) {
        fields.require("run", "a command (or 'virtualenv', a requirements file)");
    }
    fields.line("name", step.name);
    fields.line("python", step.python);
    if (fields.has("python") && step.kind != Step::Kind::virtualenv)
        fields.fault("python", "'python' belongs to a 'virtualenv' step");
    fields.duration("timeout", step.timeout, 1s);
    read_env(fields, step.env);
    fields.inner_path("workdir", step.workdir);
    fields.lines("junit", step.junit);
    if (step.junit.size() > most_patterns)
        fields.fault("junit", fmt::format("'junit' has more than {} patterns", most_patterns));
    unsigned min_tests = 0;
    fields.whole("min_tests", min_tests, 0, 10'000'000);
    if (fields.has("min_tests")) step.min_tests = min_tests;
    fields.flag("once", step.once);
    fields.flag("keep_processes", step.keep_processes);
    fields.finish();
    check_place(fields, step, place);
    if (step.name.empty()) {
        step.name =
            // A command may hold what a name may not: the name goes into logs and onto terminals.
            escape_control(step.kind == Step::Kind::virtualenv ? fmt::format("virtualenv {}", step.command)
                                                               : first_line(step.command));
    }
    return step;
}

std::vector<Step> read_steps(Fields& fields, Place place) {
    std::vector<Step> steps;
    fields.each(name_of(place), most_steps, [&](const yaml::Value& item, std::size_t number) {
        steps.push_back(read_step(item, number, place, fields.report()));
    });
    return steps;
}

void read_shared(Fields& over, std::vector<std::string>& shared) {
    over.lines("shared", shared);
    std::set<std::string> seen;
    for (const auto& directory : shared) {
        const auto parts = split(directory, '/');
        const bool bad = directory.starts_with('/') || std::ranges::any_of(parts, [](const std::string& part) {
                             return part.empty() || part == "." || part == "..";
                         });
        if (bad)
            over.fault("shared", fmt::format("'shared' must hold relative paths without '.', '..' and '//', got '{}'",
                                             shown(directory)));
        if (!seen.insert(directory).second) over.fault("shared", fmt::format("'{}' is shared twice", shown(directory)));
    }
}

std::optional<Switch> read_switch(Fields& top, PipelineOf whose) {
    if (!top.has("switch")) {
        static_cast<void>(top.entry("switch"));
        return std::nullopt;
    }
    const auto* map = top.value("switch");
    if (map == nullptr) return std::nullopt;
    Switch over;
    Fields fields(*map, "'switch'", top.where("switch"), top.report());
    fields.choice("publish", over.publish, publish_names);
    fields.inner_path("rsync_to", over.rsync_to);
    if (over.publish == Publish::rsync && over.rsync_to.empty()) over.rsync_to = "live";
    if (fields.has("rsync_to") && over.publish != Publish::rsync)
        fields.fault("rsync_to", "'rsync_to' belongs to 'publish: rsync'");
    fields.choice("strategy", over.strategy, strategy_names);
    read_strategy_options(fields, over);
    read_shared(fields, over.shared);
    over.stop = read_steps(fields, Place::stop);
    over.trial = read_steps(fields, Place::trial);
    over.restart = read_steps(fields, Place::restart);
    fields.finish();
    check_strategy(fields, over, whose);
    if (over.restart.empty() && over.stop.empty() && over.options.process.empty()) {
        fields.warn("restart", "'switch' has no 'restart' step: what runs keeps the old release");
    }
    return over;
}

std::optional<Health> read_health(Fields& top, bool beside) {
    if (!top.has("health")) {
        static_cast<void>(top.entry("health"));
        return std::nullopt;
    }
    const auto* map = top.value("health");
    if (map == nullptr) return std::nullopt;
    Health health;
    Fields fields(*map, "'health'", top.where("health"), top.report());
    fields.line("http", health.http);
    fields.block("command", health.command);
    fields.whole("expect_status", health.expect_status, 100, 599);
    fields.line("expect_body", health.expect_body);
    fields.duration("interval", health.interval, 50ms);
    fields.duration("timeout", health.timeout, 50ms);
    fields.duration("min_healthy_time", health.min_healthy_time);
    fields.duration("healthy_deadline", health.healthy_deadline, 1s);
    fields.lines("warm_up", health.warm_up);
    fields.finish();
    if (fields.has("http") && fields.has("command")) fields.fault("command", "'health' is either 'http' or 'command'");
    if (!fields.has("http") && !fields.has("command")) fields.require("http", "a URL (or 'command', for sh -c)");
    if (fields.has("command") && fields.has("expect_status"))
        fields.fault("expect_status", "'expect_status' belongs to 'http'");
    if (fields.has("command") && fields.has("expect_body"))
        fields.fault("expect_body", "'expect_body' belongs to 'http'");
    if (!health.http.empty()) check_health_url(fields, "http", health.http, beside);
    for (const auto& url : health.warm_up) check_health_url(fields, "warm_up", url, beside);
    if (beside && !health.http.empty() && health.http.find("${PORT}") == std::string::npos) {
        fields.fault("http",
                     "'http' must ask at ${PORT}: where the new release is, beside the one that users still see");
    }
    fields.check_variables("expect_body", health.expect_body, {"GIT_COMMIT"});
    if (health.healthy_deadline <= health.min_healthy_time) {
        fields.fault(fields.has("healthy_deadline") ? "healthy_deadline" : "min_healthy_time",
                     fmt::format("'healthy_deadline' ({}) must be longer than 'min_healthy_time' ({}): "
                                 "nothing could ever be healthy",
                                 to_text(health.healthy_deadline), to_text(health.min_healthy_time)));
    }
    return health;
}

}  // namespace

Pipeline parse_pipeline(std::string_view text, std::string_view file_name, PipelineOf whose) {
    yaml::Report report(file_name);
    const auto root = yaml::parse(text, report);
    Pipeline pipeline;
    if (root) {
        Fields top(*root, "baton.yaml", {1, 1}, report);
        pipeline.prepare = read_steps(top, Place::prepare);
        pipeline.test = read_steps(top, Place::test);
        pipeline.migrate = read_steps(top, Place::migrate);
        pipeline.switch_over = read_switch(top, whose);
        const bool beside = pipeline.switch_over && pipeline.switch_over->strategy != Strategy::stop_start;
        pipeline.health = read_health(top, beside);
        top.lines("artifacts", pipeline.artifacts);
        if (pipeline.artifacts.size() > most_patterns)
            top.fault("artifacts", fmt::format("'artifacts' has more than {} patterns", most_patterns));
        top.finish();
        if (!top.has("switch") && !pipeline.migrate.empty()) {
            top.fault("migrate",
                      "'migrate' needs 'switch': without it the app is only built and tested, and never goes "
                      "out of service");
        }
        if (!top.has("switch") && top.has("health")) top.warn("health", "'health' is not looked at without 'switch'");
        if (beside && !top.has("health")) {
            top.fault("switch", "this strategy needs 'health': the release before goes when the new one is proved");
        } else if (top.has("switch") && !top.has("health")) {
            top.warn("switch",
                     "no 'health': a release counts as healthy as soon as its restart steps succeed, and a "
                     "sick one stays");
        }
        if (pipeline.prepare.empty() && pipeline.test.empty() && !top.has("switch")) {
            top.warn("prepare", "nothing to do: neither 'prepare' nor 'test' nor 'switch'");
        }
    }
    report.throw_if_faulty();
    pipeline.warnings = report.warnings();
    return pipeline;
}

std::optional<FileKind> detect_kind(std::string_view text) {
    yaml::Report report("");
    const auto root = yaml::parse(text, report);
    if (!root) return std::nullopt;
    static const std::set<std::string, std::less<>> agent{"state_dir", "executors", "build_priority", "chain",
                                                          "security",  "traffic",   "apps",           "public_url"};
    static const std::set<std::string, std::less<>> pipeline{"prepare", "test",   "migrate",
                                                             "switch",  "health", "artifacts"};
    const auto among = [&](const auto& names) {
        return std::ranges::count_if(root->entries,
                                     [&](const yaml::Entry& entry) { return names.contains(entry.key); });
    };
    const auto of_agent = among(agent);
    const auto of_pipeline = among(pipeline);
    if (of_agent == of_pipeline) return std::nullopt;
    return of_agent > of_pipeline ? FileKind::agent : FileKind::pipeline;
}

}  // namespace baton::config
