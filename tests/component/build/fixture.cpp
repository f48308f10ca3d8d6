// SPDX-License-Identifier: MIT
// An app for build tests.
#include "tests/component/build/fixture.h"

#include <Poco/Exception.h>
#include <Poco/Net/ServerSocket.h>
#include <Poco/Net/SocketAddress.h>
#include <catch2/catch.hpp>
#include <csignal>
#include <fmt/format.h>
#include <unistd.h>

#include "common/error.h"
#include "common/file.h"
#include "common/net/http_client.h"
#include "common/process/process.h"
#include "common/text.h"

namespace baton::test {

namespace {

constexpr const char* server = R"(import http.server, os, sys
release = os.path.realpath(os.getcwd())
version = open(os.path.join(release, 'version')).read().strip()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        sick = os.path.exists(os.path.join(release, 'sick'))
        body = (os.environ.get('GIT_COMMIT', '') + ' ' + version).encode()
        self.send_response(500 if sick else 200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
class Server(http.server.ThreadingHTTPServer):
    allow_reuse_address = True
Server(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
)";

constexpr const char* restart = R"sh(if [ -f "$1" ]; then
  pid=$(cat "$1")
  kill "$pid" 2>/dev/null
  for i in $(seq 100); do
    case "$(cut -d' ' -f3 /proc/$pid/stat 2>/dev/null)" in ''|Z) break;; esac
    sleep 0.02
  done
fi
setsid /usr/bin/python3 server.py "$2" </dev/null >/dev/null 2>&1 &
echo $! > "$1"
)sh";

}  // namespace

std::vector<unsigned> free_ports(std::size_t count) {
    // None that the kernel gives to whoever calls: an app that is restarted could find it taken by a client of its own.
    constexpr unsigned first = 10'000;
    constexpr unsigned range = 20'000;
    static unsigned tried = static_cast<unsigned>(::getpid()) * 7;  // programs run side by side
    std::vector<Poco::Net::ServerSocket> held;
    std::vector<unsigned> ports;
    for (unsigned round = 0; ports.size() < count; ++round) {
        REQUIRE(round < range);
        const auto port = first + tried++ % range;
        try {
            held.emplace_back(Poco::Net::SocketAddress("127.0.0.1", static_cast<Poco::UInt16>(port)));
            ports.push_back(port);
        } catch (const Poco::Exception&) {
            continue;  // somebody listens there
        }
    }
    return ports;
}

AppFixture::AppFixture() : port(free_ports(1).front()) {
    std::filesystem::permissions(dir.path(), std::filesystem::perms(0755));
    std::filesystem::create_directories(dir / "repo");
    shell("git init -q -b main .");
    put("server.py", server);
    put("restart.sh", restart);
    agent.state_dir = dir / "state";
    agent.self = NodeName("web1");
    config::Node node;
    node.name = agent.self;
    node.address = {"127.0.0.1", 7070};
    agent.nodes.push_back(node);
    config::App app;
    app.name = AppName("shop");
    app.repository = (dir / "repo").string();
    app.deploy_to = dir / "srv";
    agent.apps[app.name] = app;
    std::filesystem::create_directories(agent.state_dir);
    std::filesystem::create_directories(dir / "srv");
}

AppFixture::~AppFixture() {
    try {
        const auto pid = parse_whole(trim(read_file(dir / "app.pid", 100)));
        if (pid && *pid > 1) ::kill(static_cast<pid_t>(*pid), SIGKILL);
    } catch (const Error&) {
        // The app was never started.
    }
}

void AppFixture::put(const std::string& name, const std::string& content) {
    if (content.empty()) {
        std::filesystem::remove(dir / "repo" / name);
    } else {
        dir.write("repo/" + name, content);
    }
}

void AppFixture::put_pipeline(const std::string& before, const std::string& health_extra) {
    put("baton.yaml", fmt::format("{}switch:\n"
                                  "  restart:\n"
                                  "    - run: sh restart.sh {}/app.pid {}\n"
                                  "      keep_processes: true\n"
                                  "health:\n"
                                  "  http: http://${{NODE_ADDRESS}}:{}/health\n"
                                  "  expect_body: ${{GIT_COMMIT}}\n"
                                  "  interval: 50ms\n"
                                  "  timeout: 1s\n"
                                  "  min_healthy_time: 200ms\n"
                                  "  healthy_deadline: 8s\n{}",
                                  before, dir.path().string(), port, port, health_extra));
}

CommitId AppFixture::commit() {
    return CommitId(
        std::string(trim(shell("git add -A && git -c user.name=ann -c user.email=ann@example.com commit -qm change "
                               "--allow-empty && git rev-parse HEAD"))));
}

build::BuildSpec AppFixture::spec(const CommitId& commit) {
    build::BuildSpec spec;
    spec.agent = &agent;
    spec.app = &agent.apps.begin()->second;
    spec.rollout.app = spec.app->name;
    spec.rollout.commit = commit;
    spec.rollout.started_on = agent.self;
    spec.rollout.key.id = RolloutId("01HZZZZZZZZZZZZZZZZZZZZZZZ");
    spec.number = ++number_;
    spec.mirror = agent.state_dir / "mirror";
    spec.workspace = agent.state_dir / "workspace" / std::to_string(number_);
    spec.cache = agent.state_dir / "cache";
    std::filesystem::create_directories(spec.cache);
    spec.log_file = dir / "log";
    spec.artifacts = dir / "artifacts";
    spec.agent_url = "http://web1:7070/";
    spec.service = &service;
    return spec;
}

std::string AppFixture::log() const { return read_file(dir / "log", 1 << 24); }

std::string AppFixture::ask(const std::string& path) const {
    net::HttpRequest request;
    request.url = fmt::format("http://127.0.0.1:{}{}", port, path);
    try {
        return net::HttpClient().call(request).body;
    } catch (const Error&) {
        return "";
    }
}

std::string AppFixture::shell(const std::string& command) const {
    process::Command run;
    run.argv = {"/bin/sh", "-c", command};
    run.environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1"};
    run.directory = dir / "repo";
    run.timeout = Milliseconds(120'000);
    const auto done = process::capture(run, {});
    INFO(command << ": " << done.output);
    REQUIRE(done.result.ok());
    return done.output;
}

}  // namespace baton::test
