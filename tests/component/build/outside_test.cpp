// SPDX-License-Identifier: MIT
// Leaving by HAProxy's runtime API (a real HAProxy) and by nftables (in a network namespace of its own).
#include <catch2/catch.hpp>
#include <fmt/format.h>
#include <thread>

#include "agent/build/traffic/traffic.h"
#include "agent/build/traffic/traffic_methods.h"
#include "common/error.h"
#include "common/process/process.h"
#include "tests/component/build/fixture.h"
#include "tests/support/eventually.h"

using namespace baton;
using namespace baton::build;
using namespace std::chrono_literals;

TEST_CASE("traffic: haproxy_socket drains a real HAProxy's server and has it back up") {
    test::AppFixture app;
    const auto socket = (app.dir / "admin.sock").string();
    app.dir.write("haproxy.cfg",
                  fmt::format("global\n  stats socket {} level admin\n"
                              "defaults\n  mode http\n  timeout connect 1s\n  timeout client 1s\n  timeout server 1s\n"
                              "listen shop\n  bind 127.0.0.1:{}\n  server web1 127.0.0.1:9\n",
                              socket, app.port));
    process::Command command;
    command.argv = {"haproxy", "-db", "-f", (app.dir / "haproxy.cfg").string()};
    command.environment = {"PATH=/usr/sbin:/usr/bin:/bin"};
    std::jthread haproxy([&](const std::stop_token& stop) {
        (void)process::run(
            command, [](std::string_view) {}, stop);
    });
    REQUIRE(test::eventually([&] { return std::filesystem::exists(socket); }));
    app.agent.traffic.method = config::TrafficMethod::haproxy_socket;
    app.agent.traffic.haproxy_sockets = {socket};
    app.agent.traffic.haproxy_server = "shop/${NODE_NAME}";
    app.agent.traffic.rejoin_timeout = 300ms;
    const auto spec = app.spec(CommitId(std::string(40, 'a')));
    BuildLog log(app.dir / "log", 1 << 20, {});
    const auto state = [&] {
        return app.shell("printf 'show servers state shop\\n' | socat - UNIX-CONNECT:" + socket +
                         " | awk '$4 == \"web1\" { print $7 }'");
    };
    const auto traffic = make_traffic(spec, log);
    REQUIRE(traffic->leave({}) == Noticed::yes);
    REQUIRE(state() == "8\n");  // administrative state: drain forced
    REQUIRE(traffic->rejoin({}) == Noticed::yes);
    REQUIRE(state() == "0\n");
    app.agent.traffic.haproxy_server = "shop/nobody";
    REQUIRE_THROWS_AS(make_traffic(spec, log)->leave({}), Error);
    app.agent.traffic.haproxy_server = "no slash";
    REQUIRE_THROWS_AS(make_traffic(spec, log), Error);
}

TEST_CASE(
    "traffic: refuse answers new connections from outside with a reset, lets established ones and this machine's "
    "pass") {
    test::AppFixture app;
    app.dir.write("on.nft", refuse_rules(8080));
    app.dir.write("off.nft", no_refuse_rules(8080));
    // Two machines as network namespaces: the outer one of this shell and one that a sleeping child holds.
    app.dir.write("hold.py",
                  "import socket, sys\n"
                  "server = socket.create_server(('0.0.0.0', 8080), backlog=8)\n"
                  "server.settimeout(100)\n"
                  "kept = [server.accept()[0]]\n"
                  "while True:\n"
                  "    kept[0].settimeout(0.05)\n"
                  "    try:\n"
                  "        data = kept[0].recv(10)\n"
                  "        if not data: break\n"
                  "        kept[0].sendall(data)\n"
                  "    except TimeoutError: pass\n");
    app.dir.write("ask.py",
                  "import socket, subprocess, sys\n"
                  "pid = sys.argv[1]; folder = sys.argv[2]\n"
                  "def inside(*argv): subprocess.run(['nsenter', '-t', pid, '-n', *argv], check=True)\n"
                  "def opens(where):\n"
                  "    try: socket.create_connection((where, 8080), 20).close(); return 'open'\n"
                  "    except ConnectionRefusedError: return 'refused'\n"
                  "kept = socket.create_connection(('10.99.0.1', 8080), 20)\n"
                  "for _ in range(2): inside('nft', '-f', folder + '/on.nft')\n"
                  "print(opens('10.99.0.1'))\n"
                  "kept.sendall(b'alive'); print(kept.recv(10).decode())\n"
                  "inside('/usr/bin/python3', '-c', \"import socket; socket.create_connection(('127.0.0.1', 8080), 20); "
                  "print('self', flush=True)\")\n"
                  "for _ in range(2): inside('nft', '-f', folder + '/off.nft')\n"
                  "print(opens('10.99.0.1'))\n");
    const auto folder = app.dir.path().string();
    const auto output = app.shell(
        "cat > ../two.sh <<'END'\n"
        "unshare -n /usr/bin/python3 -c 'import time; time.sleep(100)' & node=$!\n"
        "while [ \"$(readlink /proc/$node/ns/net)\" = \"$(readlink /proc/$$/ns/net)\" ]; do :; done\n"
        "ip link add v0 type veth peer name v1 netns $node\n"
        "ip addr add 10.99.0.2/24 dev v0; ip link set v0 up\n"
        "nsenter -t $node -n sh -c 'ip addr add 10.99.0.1/24 dev v1; ip link set v1 up; ip link set lo up'\n"
        "nsenter -t $node -n /usr/bin/python3 $1/hold.py & server=$!\n"
        "for i in $(seq 100); do nsenter -t $node -n ss -ltn | grep -q :8080 && break; done\n"
        "/usr/bin/python3 -u $1/ask.py $node $1\n"
        "status=$?; kill $node $server 2>/dev/null; exit $status\n"
        "END\n"
        "unshare -n sh ../two.sh " +
        folder);
    REQUIRE(output == "refused\nalive\nself\nopen\n");
}
