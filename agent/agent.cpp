// SPDX-License-Identifier: MIT
// The composition root.
#include "agent/agent.h"

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <fmt/format.h>
#include <map>
#include <memory>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

#include "agent/build/steps/step_environment.h"
#include "agent/build/steps/step_runner.h"
#include "agent/build/traffic/agent_check_listener.h"
#include "agent/engine/engine.h"
#include "agent/engine/outbox.h"
#include "agent/engine/parameter_seal.h"
#include "agent/engine/service_states.h"
#include "agent/engine/starter.h"
#include "agent/http/router.h"
#include "agent/http/server/server.h"
#include "agent/operations/operations.h"
#include "agent/operations/peers.h"
#include "agent/operations/service.h"
#include "agent/store/store.h"
#include "common/clock.h"
#include "common/config/load.h"
#include "common/error.h"
#include "common/file.h"
#include "common/log.h"
#include "common/net/peer_signing.h"
#include "common/process/process.h"
#include "common/text.h"

namespace baton {
namespace {

using namespace std::chrono_literals;

/// A switch that runs when the agent is told to end gets this long; systemd's own patience is 90 s.
constexpr auto switch_grace = 20s;

/// The signals that this thread waits for, blocked before any other thread exists, so that all inherit the block.
sigset_t block_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
    if (const int fault = pthread_sigmask(SIG_BLOCK, &set, nullptr); fault != 0) {
        throw system_error("block signals", fault);
    }
    std::signal(SIGPIPE, SIG_IGN);  // NOLINT(cert-err33-c): cannot fail for SIGPIPE
    // A file that may not grow is a failed write like any other on a full disk, and not the agent's death.
    std::signal(SIGXFSZ, SIG_IGN);  // NOLINT(cert-err33-c): nor for this one
    return set;
}

/// sd_notify(3) without the library: a datagram to $NOTIFY_SOCKET, when systemd gave one.
void notify_systemd(const std::string& state) {
    const char* path = std::getenv("NOTIFY_SOCKET");  // NOLINT(concurrency-mt-unsafe): nobody sets it
    if (path == nullptr) return;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string_view name = path;
    if (name.empty() || name.size() >= sizeof address.sun_path) return;
    std::ranges::copy(name, address.sun_path);
    if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
    const Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd) return;
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    // systemd's absence is no fault of ours, so a failed send is none either.
    [[maybe_unused]] const auto sent =
        ::sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL,
                 static_cast<const sockaddr*>(static_cast<const void*>(&address)), length);
}

std::string boot_id() { return std::string(trim(read_file("/proc/sys/kernel/random/boot_id", 100))); }

http::ServerOptions server_options(const config::AgentConfig& config, const http::Router& router) {
    const auto& address = config.listen ? *config.listen : config.find_node(config.self)->address;
    http::ServerOptions options;
    options.host = address.host;
    options.port = address.port;
    options.body_limit = http::Router::body_limit;
    options.refusal = [&router](int status, std::string_view why, std::string_view target) {
        return router.refusal(status, why, target);
    };
    if (config.security.tls) {
        options.tls = http::ServerTls{config.security.tls->certificate_file, config.security.tls->private_key_file,
                                      config.security.tls->client_ca_file};
    }
    return options;
}

/// Everything that the agent is made of, in the order in which each part needs the ones before it.
class Agent {
  public:
    explicit Agent(config::AgentConfig config)
        : config_(std::move(config)),
          lock_(lock_state(config_)),
          store_(config_.state_dir / "baton.db"),
          identity_(store_.chain.claim(config_.self, boot_id())),
          keys_(std::make_shared<net::ClusterKeyRing>(config_.security.cluster_key_file)),
          signer_(keys_, config_.self, clock_),
          verifier_(keys_, config_.self, clock_),
          seal_(keys_, config_.self, clock_),
          services_(config_),
          outbox_(config_, signer_),
          engine_(config_, store_, clock_, outbox_, services_, seal_,
                  identity_.node.empty() || identity_.copied || identity_.boot_id != boot_id()),
          starter_(config_, store_, clock_, engine_, seal_),
          operations_(
              config_, store_, engine_, seal_, [this] { starter_.wake(); }, clock_),
          peers_(engine_),
          service_(services_),
          router_(operations_, peers_, service_, config_, verifier_, clock_),
          server_(server_options(config_, router_),
                  [this](http::Request&& request) { return router_.handle(std::move(request)); }) {}

    void start() {
        if (const auto ended = process::end_leftovers(build::step_owner(config_)); ended > 0) {
            log::warning("agent", "ended what the steps of an earlier agent left behind", {{"processes", ended}});
        }
        process::prepare_cgroups();
        if (identity_.copied) {
            log::warning("agent",
                         "the database was copied or put back from a backup: what it remembers of permits counts for "
                         "nothing; once the apps are in service, a person must say on another node: baton accept",
                         {{"node", config_.self}, {"state_dir", config_.state_dir.string()}});
        }
        listen_for_agent_checks();
        router_.show_counters([this] { return server_.counters(); });
        server_.start();
        engine_.start();
        // As with Jenkins: to quiet down prepares a restart, and ends with it.
        store_.flags.erase(AppName(), store::flag::quieting_down);
        starter_.start();
        log::info("agent", "started",
                  {{"node", config_.self},
                   {"version", BATON_VERSION},
                   {"address", config_.find_node(config_.self)->address.text()},
                   {"nodes", config_.nodes.size()},
                   {"apps", config_.apps.size()}});
        log::info("agent", "prepare and test steps stand back",
                  {{"by", process::describe_priority(build::build_priority(config_))}});
    }
    /// What SIGHUP asks for; each part for itself, so that a faulty file keeps no other from being read.
    void reload() {
        read_again("the TLS files", [this] { server_.reload_tls(); });
        read_again("the cluster keys", [this] { keys_->reload(); });
    }
    void stop() {
        starter_.stop();
        engine_.stop(switch_grace);
        server_.stop();
        outbox_.stop();
    }

  private:
    template <class Read>
    static void read_again(std::string_view what, Read&& read) {
        try {
            read();
            log::info("agent", "read again", {{"what", what}});
        } catch (const Error& error) {
            log::error("agent", "cannot be read again; what was read before stays in use",
                       {{"what", what}, {"reason", error.text()}});
        }
    }
    static FileLock lock_state(const config::AgentConfig& config) {
        std::filesystem::create_directories(config.state_dir);
        std::filesystem::permissions(config.state_dir, std::filesystem::perms::owner_all |
                                                           std::filesystem::perms::group_exec |
                                                           std::filesystem::perms::others_exec);
        return with_context(fmt::format("state directory {}", config.state_dir.string()),
                            [&] { return FileLock::acquire(config.state_dir / "lock"); });
    }

    /// One listener an address: apps with the same one share it, as the load balancer sees one server.
    void listen_for_agent_checks() {
        std::map<config::Address, std::vector<build::ServiceState*>> listeners;
        for (const auto& [name, app] : config_.apps) {
            const auto& traffic = config_.traffic_of(app);
            if (traffic.method == config::TrafficMethod::haproxy_agent && traffic.agent_check_listen) {
                listeners[*traffic.agent_check_listen].push_back(&services_.of(name));
            }
        }
        for (auto& [address, states] : listeners) {
            agent_checks_.push_back(std::make_unique<build::AgentCheckListener>(address, std::move(states)));
        }
    }

    SystemClock clock_;
    config::AgentConfig config_;
    FileLock lock_;
    store::Store store_;
    store::AgentIdentity identity_;
    std::shared_ptr<net::ClusterKeyRing> keys_;
    net::PeerSigner signer_;
    net::PeerVerifier verifier_;
    engine::ParameterSeal seal_;
    engine::ServiceStates services_;
    engine::Outbox outbox_;
    engine::Engine engine_;
    engine::Starter starter_;
    operations::Operations operations_;
    operations::Peers peers_;
    operations::Service service_;
    http::Router router_;
    http::Server server_;
    std::vector<std::unique_ptr<build::AgentCheckListener>> agent_checks_;
};

}  // namespace

int run_agent(const std::filesystem::path& config_file, const std::optional<std::string>& node) {
    const sigset_t signals = block_signals();
    Agent agent(config::load_for_this_node(config_file, node));
    agent.start();
    notify_systemd("READY=1");
    while (true) {
        int signal = 0;
        if (sigwait(&signals, &signal) != 0) continue;
        if (signal == SIGHUP) {
            agent.reload();
            continue;
        }
        log::info("agent", "ending", {{"signal", signal}});
        notify_systemd("STOPPING=1");
        agent.stop();
        return 0;
    }
}

}  // namespace baton
