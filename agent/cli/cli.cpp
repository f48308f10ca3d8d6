// SPDX-License-Identifier: MIT
// The command line's grammar, its help, and the exit status of every end.
#include "agent/cli/cli.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "agent/cli/commands.h"
#include "agent/cli/output.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/text.h"
#include "common/time_text.h"
#include "common/types.h"

namespace baton::cli {
namespace {

constexpr std::string_view about = R"(baton - continuous deployment that walks from VM to VM

Every VM runs the same agent with the same configuration. A commit is fetched, tested, published and
proved healthy on one VM, which then hands the rollout to the next.)";

constexpr std::string_view examples = R"(
Examples:
  baton keygen > cluster.key                    make the key that all agents share
  baton check-config /etc/baton/agent.yaml      is it right, and what are the defaults?
  baton agent --config /etc/baton/agent.yaml    run this node's agent
  baton trigger shop --wait                     roll out the branch's tip, and follow it
  baton status --watch                          where is the rollout, and what does it wait for?
  baton log shop -f                             what the running build prints
  baton rollback shop --reason "prices wrong"   back to the commit before

Environment:
  BATON_AGENT        the agent to talk to, as --agent
  BATON_TOKEN_FILE   the file with the token, as --token-file
  BATON_TOKEN        the token itself
  BATON_NODE         which node this is, as --node of baton agent

Exit status: 0 done, 1 failed, 2 wrong usage, 3 frozen, held, or not possible as things
  stand, 4 no agent answers.
'baton COMMAND --help' tells more about a command.)";

/// What the options are read into, and the command that was chosen.
struct Chosen {
    Connection connection;
    std::string agent_config = "/etc/baton/agent.yaml";
    std::optional<std::string> node;
    CheckOptions check;
    KeygenOptions keygen;
    TokenOptions token;
    StatusOptions status;
    LogOptions log;
    ListOptions list;
    LedgerOptions ledger;
    std::string check_interval, check_fast;
    TriggerOptions trigger;
    std::vector<std::string> parameters;
    std::vector<std::string> parameter_files;
    OrderOptions order;
    std::string order_node;
    std::string duration;
    std::string until;
    std::function<int()> run;
};

const CLI::Validator& name_check() {
    static const CLI::Validator check(
        [](std::string& text) {
            if (is_valid_name(text)) return std::string();
            return fmt::format("'{}' is not a name (small letters, digits, '.', '_', '-')",
                               escape_control(first_line(text)));
        },
        "");
    return check;
}

const CLI::Validator& duration_check() {
    static const CLI::Validator check(
        [](std::string& text) {
            if (parse_duration(text)) return std::string();
            return fmt::format("'{}' is not a duration (write 10m, 90s, 1h30m)", escape_control(first_line(text)));
        },
        "");
    return check;
}

/// In the future, since it ends something.
const CLI::Validator& time_check() {
    static const CLI::Validator check(
        [](std::string& text) {
            const auto time = parse_iso8601(text);
            const auto shown = escape_control(first_line(text));
            if (!time) return fmt::format("'{}' is not a time (write 2026-12-24 or 2026-12-24T18:00, in UTC)", shown);
            return *time > SystemClock().wall() ? std::string() : fmt::format("{} is past", shown);
        },
        "");
    return check;
}

CLI::Validator parameter_check(const char* form) {
    return {[form](std::string& text) {
                const auto equals = text.find('=');
                if (equals != std::string::npos && equals > 0) return std::string();
                return fmt::format("'{}' is not {}", escape_control(first_line(text)), form);
            },
            ""};
}

/// Of NAME=… each.
std::map<std::string, std::string> by_name(const std::vector<std::string>& pairs) {
    std::map<std::string, std::string> found;
    for (const auto& pair : pairs) {
        const auto equals = pair.find('=');
        found[pair.substr(0, equals)] = pair.substr(equals + 1);
    }
    return found;
}

const CLI::Validator& build_check() {
    static const CLI::Validator check(
        [](std::string& text) {
            if (text == "last" || parse_whole(text)) return std::string();
            return fmt::format("'{}' is neither a build's number nor 'last'", escape_control(first_line(text)));
        },
        "");
    return check;
}

/// A command; the connection's options may stand behind it as well.
CLI::App* command(CLI::App& parent, const std::string& name, const std::string& text, std::string_view footer = "") {
    CLI::App* made = parent.add_subcommand(name, text);
    made->fallthrough();
    if (!footer.empty()) made->footer("\n" + std::string(footer));
    return made;
}

CLI::Option* app_argument(CLI::App* made, std::string& target) {
    return made->add_option("APP", target, "the app, as agent.yaml names it")->required()->check(name_check());
}

void add_connection(CLI::App& root, Connection& connection) {
    const std::string group = "Which agent, and as whom";
    root.add_option("--agent", connection.agent, "URL of an agent; any node's will do")
        ->envname("BATON_AGENT")
        ->capture_default_str()
        ->group(group);
    root.add_option("--token-file", connection.token_file,
                    "file with a token (see: baton token add), readable by you only")
        ->group(group);
    root.add_option("--ca-file", connection.ca_file, "what an https agent's certificate is checked against")
        ->envname("BATON_CA_FILE")
        ->group(group);
    root.add_option("--certificate-file", connection.certificate_file, "certificate to show to an agent that asks")
        ->group(group);
    root.add_option("--private-key-file", connection.private_key_file, "its private key")->group(group);
}

/// The exit statuses of orders (held, unreachable) and their hints mean nothing here: an agent that cannot
/// run has failed.
int run_agent(const AgentMain& agent_main, const std::string& config, const std::optional<std::string>& node) {
    try {
        return agent_main(config, node);
    } catch (const Error& error) {
        note(fmt::format("baton: the agent cannot run: {}", error.text()));
        if (error.kind() == ErrorKind::busy) note("Does one run here already? 'systemctl status baton' tells.");
    } catch (const std::filesystem::filesystem_error& error) {
        note(fmt::format("baton: the agent cannot run: {}: {}", error.path1().string(), error.code().message()));
    }
    return exit_failed;
}

void add_agent(CLI::App& root, Chosen& chosen, const AgentMain& agent_main) {
    auto* agent = command(root, "agent", "Run this node's agent in the foreground",
                          "It finds out which node it is by its interface addresses, then by its host name.\n"
                          "SIGTERM ends it: what has begun on the node is finished or undone.");
    agent->add_option("--config", chosen.agent_config, "the configuration, the same on every node")
        ->capture_default_str();
    agent->add_option("--node", chosen.node, "which node this is (BATON_NODE), where it cannot find out")
        ->check(name_check());
    agent->callback([&] { chosen.run = [&] { return run_agent(agent_main, chosen.agent_config, chosen.node); }; });
}

void add_local(CLI::App& root, Chosen& chosen) {
    auto* check = command(root, "check-config", "Check agent.yaml or baton.yaml, and print it with its defaults",
                          "Which of the two a file is, is told by its keys. Every fault comes in one report:\n"
                          "  agent.yaml:5:3: unknown key 'prot' in 'listen' (did you mean 'port'?)");
    check->add_option("FILE", chosen.check.files, "the files")->required();
    check->add_flag("-q,--quiet", chosen.check.quiet, "print faults and warnings only");
    check->callback([&] { chosen.run = [&] { return check_config(chosen.check); }; });

    auto* key =
        command(root, "keygen", "Print a new cluster key, or change the key of a file",
                "With --rotate the file gets a new key that begins to sign after an hour, and the old one ends an\n"
                "hour later: copy the file to every node meanwhile. Agents see the change by themselves.\n"
                "Example: baton keygen --rotate /etc/baton/cluster.key");
    auto* rotated = key->add_option("--rotate", chosen.keygen.rotate, "the key file to change");
    key->add_option("--node", chosen.keygen.nodes, "give this node a key of its own; may come several times")
        ->needs(rotated)
        ->check(name_check())
        ->take_all()
        ->allow_extra_args(false);
    key->add_option("--after", chosen.duration, "when the new key begins to sign (1h)")
        ->needs(rotated)
        ->check(duration_check());
    key->callback([&] {
        chosen.run = [&] {
            if (!chosen.duration.empty()) chosen.keygen.after = *parse_duration(chosen.duration);
            return keygen(chosen.keygen);
        };
    });

    auto* token = command(root, "token", "Add, list and revoke the tokens of people and programs",
                          "Roles: read (look), trigger (start rollouts too), operate (everything).\n"
                          "Example: baton token add ci --role trigger > ~/.baton-token && chmod 600 ~/.baton-token");
    token->require_subcommand(1);
    auto* add = command(*token, "add", "Make a token and print it: its only copy");
    add->add_option("NAME", chosen.token.name, "whose it is")->required()->check(name_check());
    add->add_option("--role", chosen.token.role, "what it may do")
        ->check(CLI::IsMember({"read", "trigger", "operate"}))
        ->capture_default_str();
    add->callback([&] { chosen.run = [&] { return token_add(chosen.token); }; });
    auto* list = command(*token, "list", "Print the names and roles");
    list->add_flag("--json", chosen.token.json, "as JSON");
    list->callback([&] { chosen.run = [&] { return token_list(chosen.token); }; });
    auto* revoke = command(*token, "revoke", "Take a token out; a running agent sees it at once");
    revoke->add_option("NAME", chosen.token.name, "whose it is")->required();
    revoke->callback([&] { chosen.run = [&] { return token_revoke(chosen.token); }; });
    for (auto* each : {add, list, revoke}) {
        auto* file = each->add_option("--file", chosen.token.file, "the tokens file");
        each->add_option("--config", chosen.token.config, "the agent.yaml that names it")
            ->capture_default_str()
            ->excludes(file);
    }

    auto* version = command(root, "version", "Print the version");
    version->callback([&] {
        chosen.run = [] {
            print(fmt::format("baton {}\n", BATON_VERSION));
            return static_cast<int>(exit_ok);
        };
    });
}

void add_looking(CLI::App& root, Chosen& chosen) {
    auto* show = command(root, "status", "Show the chain: who runs what, who does what, and what it waits for",
                         "With --watch on a terminal it is drawn anew every second; elsewhere each change is a line.");
    show->add_option("APP", chosen.status.app, "this app only")->check(name_check());
    show->add_flag("-w,--watch", chosen.status.watch, "go on until Ctrl-C");
    show->add_flag("--json", chosen.status.json, "as JSON");
    show->callback([&] { chosen.run = [&] { return status(chosen.connection, chosen.status); }; });

    auto* text = command(root, "log", "Print what a build printed on the agent's node",
                         "Each node has builds of its own: --agent chooses the node.");
    app_argument(text, chosen.log.app);
    text->add_option("BUILD", chosen.log.build, "the build's number, or last")
        ->check(build_check())
        ->capture_default_str();
    text->add_flag("-f,--follow", chosen.log.follow, "go on until the build has ended");
    text->callback([&] { chosen.run = [&] { return log(chosen.connection, chosen.log); }; });

    auto* past = command(root, "history", "List an app's rollouts, newest first",
                         "With --audit: who did what and from where, of the app or of all.");
    past->add_option("APP", chosen.list.app, "the app; with --audit it may be left out")->check(name_check());
    past->add_flag("--audit", chosen.list.audit, "list who did what instead");
    past->callback([&] {
        if (chosen.list.app.empty() && !chosen.list.audit) throw CLI::RequiredError("APP");
        chosen.run = [&] { return history(chosen.connection, chosen.list); };
    });

    auto* cost =
        command(root, "ledger", "Show what each deploy cost users",
                "Without --since it is the last 30 days. What no agent can measure is taken at its worst unless you\n"
                "say: how the load balancer checks, which part of the requests a node that is down draws, what\n"
                "is retried. Example: baton ledger shop --since 7d --check 2s --fall 3 --rate 120");
    cost->add_option("APP,--app", chosen.ledger.app, "this app only")->check(name_check());
    cost->add_option("--since", chosen.duration, "how far back, such as 7d")->check(duration_check());
    auto* interval =
        cost->add_option("--check", chosen.check_interval, "the load balancer's health check runs so often");
    interval->check(duration_check());
    cost->add_option("--check-fast", chosen.check_fast, "so often after a failure")
        ->check(duration_check())
        ->needs(interval);
    cost->add_option("--fall", chosen.ledger.fall, "failures of it that take a node out (3)")
        ->check(CLI::Range(1, 1000))
        ->needs(interval);
    cost->add_option("--dark-share", chosen.ledger.dark_share,
                     "part of all requests that a node that is down draws (1/N; leastconn: up to 0.8)")
        ->check(CLI::Range(0.0, 1.0));
    cost->add_option("--retried", chosen.ledger.retried, "part of the failed requests that another node answers (0)")
        ->check(CLI::Range(0.0, 1.0));
    cost->add_option("--rate", chosen.ledger.rate, "requests a second: also say how many were lost")
        ->check(CLI::Range(0.0, 1e9));
    cost->callback([&] {
        chosen.run = [&] {
            auto& options = chosen.ledger;
            options.json = chosen.list.json;
            options.since = parse_duration(chosen.duration).value_or(Milliseconds{0});
            options.check = parse_duration(chosen.check_interval);
            options.check_fast = parse_duration(chosen.check_fast);
            return ledger(chosen.connection, options);
        };
    });

    auto* who = command(root, "audit", "List who did what, newest first");
    who->callback([&] { chosen.run = [&] { return audit(chosen.connection, chosen.list); }; });
    for (auto* each : {past, who}) {
        each->add_option("-n,--limit", chosen.list.limit, "how many")->check(CLI::Range(1, 500))->capture_default_str();
    }
    for (auto* each : {past, cost, who}) each->add_flag("--json", chosen.list.json, "as JSON");
}

void add_trigger(CLI::App& root, Chosen& chosen) {
    auto* start =
        command(root, "trigger", "Start a rollout",
                "Without --commit it is the branch's tip. With --wait it prints every node's progress; the exit\n"
                "status is 0 when all nodes run the commit, 1 when it was halted, 3 when it is held.\n"
                "Give a secret with --param-file, or through standard input: the arguments of a command can be read\n"
                "by everybody on this machine. A line's end at the end of what is read is left out.\n"
                "Example: baton trigger shop --commit 1a2b3c4 --param LEVEL=high --wait");
    app_argument(start, chosen.trigger.app);
    start->add_option("--commit", chosen.trigger.commit, "this commit, also when it was halted or is an older one");
    const auto may_repeat = [](CLI::Option* option) { option->take_all()->allow_extra_args(false); };
    may_repeat(
        start->add_option("--param", chosen.parameters, "a declared parameter, NAME=VALUE; may come several times")
            ->check(parameter_check("NAME=VALUE")));
    may_repeat(start
                   ->add_option("--param-file", chosen.parameter_files,
                                "the same with the value in a file, NAME=FILE; NAME=- reads standard input")
                   ->check(parameter_check("NAME=FILE")));
    start->add_flag("--force", chosen.trigger.force, "also when the tip was halted or rolled back before");
    start->add_flag("--wait", chosen.trigger.wait, "until the rollout has ended");
    start->add_option("--timeout", chosen.duration, "how long to wait at most (1h)")->check(duration_check());
    start->add_flag("--json", chosen.trigger.json, "the answer as JSON");
    start->callback([&] {
        chosen.run = [&] {
            chosen.trigger.parameters = by_name(chosen.parameters);
            chosen.trigger.parameter_files = by_name(chosen.parameter_files);
            if (!chosen.duration.empty()) chosen.trigger.timeout = *parse_duration(chosen.duration);
            return trigger(chosen.connection, chosen.trigger);
        };
    });
}

struct OrderCommand {
    const char* name;
    const char* text;
    const char* footer;
};

void add_orders(CLI::App& root, Chosen& chosen) {
    static constexpr OrderCommand orders[] = {
        {"rollback", "Put the commit before back on every node",
         "The commit that is left is not deployed again by a poll; by name it can be."},
        {"halt", "Stop the rollout: no further node goes out of service for it",
         "A switch that has begun is finished or undone."},
        {"resume", "Try the halted or failed rollout once more", ""},
        {"retry", "The same as resume", ""},
        {"promote", "End the canary's wait: go on with the other nodes now", ""},
        {"force", "Let the agent's own node switch without a majority of permits, once",
         "On your own word, which is recorded: make sure first that no other node is out of service."},
        {"freeze", "Start nothing until unfreeze; what runs is finished",
         "Example: baton freeze shop --reason \"sale\" --for 2d"},
        {"unfreeze", "End a freeze; what was held goes on", ""},
        {"drain", "Take the agent's own node out of the load balancer",
         "It stays out until undrain. --agent chooses the node."},
        {"undrain", "Put the agent's own node back", ""},
    };
    for (const auto& [name, text, footer] : orders) {
        auto* made = command(root, name, text, footer);
        const std::string verb = name;
        app_argument(made, chosen.order.app);
        if (verb == "rollback") made->add_option("--commit,--to", chosen.order.commit, "to this commit instead");
        if (verb == "halt" || verb == "resume" || verb == "retry" || verb == "promote") {
            made->add_option("--rollout", chosen.order.rollout,
                             "this one, such as one that is queued, instead of the one that status shows");
        }
        auto* reason = made->add_option("--reason", chosen.order.reason, "why, for the others; kept in the audit");
        if (verb == "freeze") {
            reason->required();
            auto* lasting = made->add_option("--for", chosen.duration, "how long; without it until unfreeze");
            lasting->check(duration_check());
            made->add_option("--until", chosen.until, "till then (UTC), such as 2026-12-27 or 2026-12-24T18:00")
                ->check(time_check())
                ->excludes(lasting);
        }
        made->callback([&chosen, verb] {
            chosen.run = [&chosen, verb] {
                chosen.order.lasting = parse_duration(chosen.duration).value_or(Milliseconds{0});
                chosen.order.until = parse_iso8601(chosen.until);
                return order(chosen.connection, verb, chosen.order);
            };
        });
    }
    static constexpr OrderCommand node_orders[] = {
        {"forget", "Declare a node's machine gone for good, and free the permit that it holds",
         "Only for a machine that is really off: if it still runs, two nodes may be out of service at once.\n"
         "It is welcome again after baton accept."},
        {"accept", "Let a node that lost its state (re-installed, new disk) take part again", ""},
    };
    for (const auto& [name, text, footer] : node_orders) {
        auto* made = command(root, name, text, footer);
        made->add_option("NODE", chosen.order_node, "the node, as agent.yaml names it")
            ->required()
            ->check(name_check());
        made->add_option("--reason", chosen.order.reason, "why, for the others; kept in the audit");
        made->callback([&chosen, verb = std::string(name)] {
            chosen.run = [&chosen, verb] {
                return node_order(chosen.connection, verb, chosen.order_node, chosen.order.reason);
            };
        });
    }
}

int exit_code_of(ErrorKind kind) {
    switch (kind) {
        case ErrorKind::conflict: return exit_held;
        case ErrorKind::unreachable:
        case ErrorKind::timeout: return exit_unreachable;
        default: return exit_failed;
    }
}

/// What to do next, where it does not go without saying.
std::string_view hint_of(ErrorKind kind) {
    switch (kind) {
        case ErrorKind::unreachable:
        case ErrorKind::timeout: return "Does the agent run? Which one is asked is said by --agent or BATON_AGENT.";
        case ErrorKind::unauthorized:
            return "Give a token with --token-file, BATON_TOKEN_FILE or BATON_TOKEN; 'baton token add' on "
                   "the agent's machine makes one.";
        case ErrorKind::forbidden: return "";
        case ErrorKind::conflict: return "'baton status' shows how things stand.";
        case ErrorKind::busy: return "Try again in a moment.";
        default: return "";
    }
}

int run(const std::function<int()>& action) {
    try {
        return action();
    } catch (const Error& error) {
        note(fmt::format("baton: {}", error.text()));
        if (const auto hint = hint_of(error.kind()); !hint.empty()) note(hint);
        return exit_code_of(error.kind());
    } catch (const std::exception& error) {
        note(fmt::format("baton: {}", error.what()));
        return exit_failed;
    }
}

/// A word that is none of the commands: the nearest one.
std::optional<std::string> unknown_command(const CLI::App& root, int argc, char** argv) {
    if (argc < 2 || std::string_view(argv[1]).starts_with('-')) return std::nullopt;
    std::vector<std::string> known;
    for (const auto* each : root.get_subcommands([](const CLI::App*) { return true; }))
        known.push_back(each->get_name());
    if (std::ranges::find(known, argv[1]) != known.end()) return std::nullopt;
    const auto near = nearest(argv[1], known);
    return fmt::format("baton: there is no command '{}'{}", escape_control(first_line(argv[1])),
                       near ? fmt::format(" (did you mean '{}'?)", *near) : "");
}

}  // namespace

int run_cli(int argc, char** argv, const AgentMain& agent_main) {
    Chosen chosen;
    CLI::App root{std::string(about), "baton"};
    root.footer(std::string(examples));
    root.require_subcommand(1);
    root.set_version_flag("--version", fmt::format("baton {}", BATON_VERSION), "print the version");
    add_connection(root, chosen.connection);
    add_agent(root, chosen, agent_main);
    add_trigger(root, chosen);
    add_looking(root, chosen);
    add_orders(root, chosen);
    add_local(root, chosen);
    try {
        root.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        // Help and version are such errors as well, with exit code 0.
        if (error.get_exit_code() == 0) return root.exit(error);
        if (argc < 2) {
            note(root.help());
            return exit_usage;
        }
        const auto unknown = unknown_command(root, argc, argv);
        note(unknown ? *unknown : fmt::format("baton: {}", error.what()));
        note("'baton --help' lists the commands, 'baton COMMAND --help' explains one.");
        return exit_usage;
    } catch (const std::exception& error) {
        note(fmt::format("baton: {}", error.what()));
        return exit_failed;
    }
    return run(chosen.run);
}

}  // namespace baton::cli
