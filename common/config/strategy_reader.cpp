// SPDX-License-Identifier: MIT
// switch.strategy and its options: how releases take each other's place.
#include <algorithm>

#include "common/config/fields.h"
#include "common/config/readers.h"
#include "common/text.h"

namespace baton::config {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_ports = 16;

void read_ports(Fields& fields, std::vector<unsigned>& ports) {
    fields.each("ports", most_ports, [&](const yaml::Value& item, std::size_t) {
        const auto port = item.kind == yaml::Kind::scalar ? parse_whole(item.text) : std::nullopt;
        if (port && *port >= 1 && *port <= 65535) {
            ports.push_back(static_cast<unsigned>(*port));
        } else {
            fields.report().fault(item.at,
                                  fmt::format("'ports' must hold numbers of 1 to 65535, got '{}'", shown(item.text)));
        }
    });
}

/// Needs and refusals of one `switch`, each reported where the reader looks for it.
class StrategyCheck {
  public:
    StrategyCheck(Fields& over, const Switch& target) : over_(over), target_(target) {}

    void need(bool given, std::string_view key, std::string_view expected) {
        if (!given) report(fmt::format("needs '{}' in 'options', {}", key, expected));
    }
    void refuse(bool given, std::string_view key, std::string_view why) {
        if (given) report(fmt::format("has no use for '{}' in 'options': {}", key, why));
    }
    void report(const std::string& what) {
        over_.report().fault(over_.has("options") ? over_.where("options") : over_.where("strategy"),
                             fmt::format("'strategy: {}' {}", name_of(strategy_names, target_.strategy), what));
    }

  private:
    Fields& over_;
    const Switch& target_;
};

bool are_two(const std::vector<unsigned>& ports) { return ports.size() == 2 && ports[0] != ports[1]; }

void check_start(Fields& over, const Switch& target, StrategyCheck& check) {
    const bool held = !target.options.process.empty();
    const bool steps = over.has("restart") && over.has("stop");
    if (!held && !steps) {
        check.report(
            "needs 'process' in 'options', the app's command, or 'restart' and 'stop' steps that start and stop "
            "one of two (BATON_COLOR says which)");
    }
    if (held && (over.has("restart") || over.has("stop"))) {
        over.fault(
            over.has("restart") ? "restart" : "stop",
            "either 'process' in 'options' or 'restart' and 'stop' steps; what else is to be restarted is an app "
            "of its own");
    }
}

/// Both share the users' socket, so a release must have been seen well before it is there.
void check_trial(Fields& over, const Switch& target, StrategyCheck& check, PipelineOf whose) {
    const bool by_steps = target.strategy == Strategy::overlap && target.options.process.empty();
    if (!by_steps && !target.trial.empty()) {
        over.fault("trial", target.strategy == Strategy::overlap
                                ? "with 'process' the agent makes the trial by itself: take 'trial' away"
                                : "'trial' belongs to 'strategy: overlap' by steps");
    }
    if (by_steps && target.trial.empty() && whose == PipelineOf::new_release) {
        check.report(
            "by steps needs 'trial' steps, which start the new release at its port alone; else users would meet it "
            "before it is proved");
    }
}

}  // namespace

void read_strategy_options(Fields& over, Switch& target) {
    const auto* map = over.value("options");
    if (map == nullptr) return;
    StrategyOptions& options = target.options;
    Fields fields(*map, "'options'", over.where("options"), over.report());
    fields.block("process", options.process);
    fields.choice("stop_signal", options.stop_signal, stop_signal_names);
    fields.duration("stop_timeout", options.stop_timeout, 1s);
    fields.line("listen", options.listen);
    read_ports(fields, options.ports);
    fields.line("front", options.front);
    fields.line("upstream_file", options.upstream_file);
    fields.block("upstream_template", options.upstream_template);
    fields.block("reload", options.reload);
    fields.finish();
    if (!options.process.empty() && options.process.find("exec ") == std::string::npos) {
        fields.fault("process",
                     "'process' must 'exec' the app: the sockets and the stop signal are for its own process, "
                     "not for a shell before it");
    }
    const std::vector<std::string> node{"NODE_ADDRESS", "NODE_NAME", "APP"};
    if (!options.listen.empty()) {
        fields.check_variables("listen", options.listen, node);
        if (!options.listen.starts_with('/') && !parse_address(options.listen)) {
            fields.fault("listen", fmt::format("'listen': '{}' is neither host:port nor the absolute path of a socket",
                                               shown(options.listen)));
        }
    }
    if (!options.front.empty()) check_health_url(fields, "front", options.front, false);
    if (options.upstream_file.find('/') != std::string::npos || options.upstream_file.starts_with('.')) {
        fields.fault("upstream_file",
                     fmt::format("'upstream_file' is the name of a file in deploy_to/shared, which the web server "
                                 "includes; got '{}'",
                                 shown(options.upstream_file)));
    }
}

void check_strategy(Fields& over, const Switch& target, PipelineOf whose) {
    StrategyCheck check(over, target);
    check_trial(over, target, check, whose);
    if (target.strategy == Strategy::stop_start) return;
    const StrategyOptions& options = target.options;
    const bool held = !options.process.empty();
    if (target.publish != Publish::symlink) {
        over.fault("publish", fmt::format("'strategy: {}' runs two releases side by side, which 'publish: rsync' with "
                                          "its one directory cannot: write symlink",
                                          name_of(strategy_names, target.strategy)));
    }
    const bool blue_green = target.strategy == Strategy::blue_green;
    if (blue_green || !held) {
        const auto what = blue_green ? "exactly two different ones, got {}"
                                     : "two different ones, where each of the two answers alone, got {}";
        check.need(are_two(options.ports), "ports", fmt::format(fmt::runtime(what), options.ports.size()));
    }
    if (blue_green) {
        check.need(!options.upstream_file.empty(), "upstream_file", "the file that tells the web server the live port");
        check.need(options.upstream_template.find("${PORT}") != std::string::npos, "upstream_template",
                   "its text, with ${PORT}");
        check.need(!options.reload.empty(), "reload", "the command with which the web server reads it");
        check.refuse(!options.listen.empty(), "listen", "each colour listens on its own port");
    } else {
        if (held) {
            check.need(!options.listen.empty(), "listen", "the socket that outlives the app");
            check.refuse(!options.ports.empty(), "ports", "each process gets a free port of its own besides");
        } else {
            check.refuse(!options.listen.empty(), "listen", "without 'process' systemd or another holds the socket");
        }
        check.refuse(!options.upstream_file.empty(), "upstream_file", "the address stays the same");
    }
    check_start(over, target, check);
}

void check_health_url(Fields& fields, std::string_view key, const std::string& url, bool beside) {
    std::vector<std::string> known{"NODE_ADDRESS", "NODE_NAME", "APP"};
    if (beside) known.emplace_back("PORT");
    if (!url.starts_with("http://") && !url.starts_with("https://") && !url.starts_with("fastcgi://")) {
        fields.fault(key, fmt::format("'{}': '{}' is not http://, https:// or fastcgi://", key, shown(url)));
    }
    fields.check_variables(key, url, known);
}

}  // namespace baton::config
