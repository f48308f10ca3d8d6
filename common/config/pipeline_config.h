// SPDX-License-Identifier: MIT
// `baton.yaml` as values: how one commit of an app is built, tested and run.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/config/fault.h"
#include "common/types.h"

namespace baton::config {

/// One command or built-in.
struct Step {
    enum class Kind { run, virtualenv };
    Kind kind = Kind::run;
    std::string name;                         ///< as given, else the command's first line
    std::string command;                      ///< run: for `sh -c`, as written; virtualenv: the requirements file
    std::string python = "/usr/bin/python3";  ///< virtualenv: the interpreter
    Milliseconds timeout{30 * 60 * 1000};
    std::map<std::string, std::string> env;
    std::string workdir;                ///< relative to the workspace (prepare, test) or the release (migrate, switch)
    std::vector<std::string> junit;     ///< glob patterns of reports, relative to the workspace
    std::optional<unsigned> min_tests;  ///< none: 90 % of the last green run
    bool once = false;                  ///< migrate only: succeeds at most once in the whole chain
    bool keep_processes = false;  ///< stop, trial and restart only: the daemons that it started live on when it exits with 0
};

enum class Publish { symlink, rsync };
enum class Strategy { stop_start, overlap, blue_green };

/// Asks a held process to finish its requests and end.
enum class StopSignal { term, interrupt, quit, hang_up, user1, user2 };

/// Of the strategies that run two releases side by side for a while. ${NODE_ADDRESS} ${NODE_NAME} ${APP} may be used in
/// `listen`, `front` and `upstream_template`.
struct StrategyOptions {
    std::string process;  ///< sh -c, stays in the foreground: held by the agent's holder; empty: restart and stop steps
    StopSignal stop_signal = StopSignal::term;
    Milliseconds stop_timeout{30'000};
    std::string listen;  ///< overlap with `process`: `127.0.0.1:9000` or a unix socket's path, handed on as LISTEN_FDS
    std::vector<unsigned> ports;  ///< exactly two. blue_green: where each colour listens; overlap with steps: where
                                  ///< each colour alone can be asked for its health
    std::string front;              ///< the health address as users reach it; empty: not asked
    std::string upstream_file;      ///< blue_green: name of a file in deploy_to/shared, written with the live port
    std::string upstream_template;  ///< blue_green: its text; ${PORT} is the live port
    std::string reload;             ///< blue_green: sh -c, after it was written
};

struct Switch {
    Publish publish = Publish::symlink;
    std::string rsync_to;  ///< rsync: the fixed directory, relative to deploy_to; default `live`
    Strategy strategy = Strategy::stop_start;
    StrategyOptions options;
    std::vector<std::string> shared;  ///< directories in deploy_to/shared, linked into every release
    std::vector<Step> stop;           ///< before publishing; optional
    std::vector<Step> trial;          ///< overlap by steps: starts a release where its health check alone reaches it
    std::vector<Step> restart;
};

struct Health {
    std::string http;     ///< URL; or
    std::string command;  ///< sh -c; exit status 0 means healthy
    int expect_status = 200;
    std::string expect_body;  ///< a substring; ${GIT_COMMIT} is expanded: the expected version
    Milliseconds interval{1'000};
    Milliseconds timeout{5'000};
    Milliseconds min_healthy_time{10'000};
    Milliseconds healthy_deadline{60'000};
    std::vector<std::string> warm_up;  ///< URLs asked once each before the node rejoins
};

struct Pipeline {
    std::vector<Step> prepare;
    std::vector<Step> test;
    std::vector<Step> migrate;
    std::optional<Switch> switch_over;  ///< none: a plain CI job
    std::optional<Health> health;
    std::vector<std::string> artifacts;  ///< globs, kept with the build
    std::vector<Fault> warnings;         ///< what is allowed but probably not meant
    [[nodiscard]] bool has_once_steps() const;
};

}  // namespace baton::config
