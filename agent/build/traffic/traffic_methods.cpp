// SPDX-License-Identifier: MIT
// Leaving by a file, a command, HAProxy's runtime API, nftables.
#include "agent/build/traffic/traffic_methods.h"

#include <Poco/Net/NetException.h>
#include <Poco/Net/SocketAddress.h>
#include <Poco/Net/StreamSocket.h>
#include <fmt/format.h>

#include "agent/build/steps/health.h"
#include "agent/build/traffic/service_state.h"
#include "common/clock.h"
#include "common/config/expand.h"
#include "common/error.h"
#include "common/file.h"
#include "common/text.h"

namespace baton::build {

namespace fs = std::filesystem;

namespace {

void set_mode(const BuildSpec& spec, ServiceMode mode) {
    if (spec.service != nullptr) spec.service->set_mode(mode);
}

class FileTraffic final : public Traffic {
  public:
    explicit FileTraffic(const BuildSpec& spec) : spec_(spec), options_(spec.agent->traffic_of(*spec.app)) {
        if (!options_.file) throw Error(ErrorKind::invalid, "traffic method file needs 'file'");
    }
    Noticed leave(const std::stop_token& stop) override {
        set_mode(spec_, ServiceMode::draining);
        write_file_atomically(*options_.file, fmt::format("{} is being deployed by baton\n", spec_.app->name));
        pause_for(options_.settle, stop);
        return Noticed::yes;
    }
    Noticed rejoin(const std::stop_token& stop) override {
        std::error_code failed;
        const bool was_there = fs::remove(*options_.file, failed);
        if (failed) throw system_error(fmt::format("remove {}", options_.file->string()), failed.value());
        set_mode(spec_, ServiceMode::serving);
        if (was_there) pause_for(options_.settle, stop);
        return Noticed::yes;
    }
    std::string describe() const override {
        return fmt::format("{} for the load balancer to notice", to_text(options_.settle));
    }

  private:
    const BuildSpec& spec_;
    const config::Traffic& options_;
};

class CommandTraffic final : public Traffic {
  public:
    CommandTraffic(const BuildSpec& spec, BuildLog& log)
        : spec_(spec), options_(spec.agent->traffic_of(*spec.app)), log_(log) {}
    Noticed leave(const std::stop_token& stop) override {
        set_mode(spec_, ServiceMode::draining);
        return run(options_.leave_command, wire::Stage::drain, options_.drain_timeout, stop);
    }
    Noticed rejoin(const std::stop_token& stop) override {
        const auto noticed = run(options_.rejoin_command, wire::Stage::rejoin, options_.rejoin_timeout, stop);
        set_mode(spec_, ServiceMode::serving);
        return noticed;
    }
    std::string describe() const override { return "the load balancer command"; }

  private:
    /// With the agent's own rights: the command stands in the node's configuration, not in the repository.
    Noticed run(const std::string& text, wire::Stage stage, Milliseconds limit, const std::stop_token& stop) {
        if (text.empty()) return Noticed::yes;
        StepContext context;
        context.stage = stage;
        process::Command command;
        command.argv = {"/bin/sh", "-c", text};
        command.environment = step_environment(spec_, context, {});
        command.timeout = limit;
        const auto result = process::run(
            command, [&](std::string_view bytes) { log_.output(bytes); }, stop);
        log_.end_output();
        if (result.end == process::Result::End::cancelled) throw Error(ErrorKind::cancelled, "cancelled");
        if (!result.ok()) log_.line(fmt::format("load balancer command: {}", result.describe()));
        return result.ok() ? Noticed::yes : Noticed::no;
    }
    const BuildSpec& spec_;
    const config::Traffic& options_;
    BuildLog& log_;
};

/// One command to HAProxy's runtime API, which answers and closes.
std::string ask_haproxy(const std::string& where, const std::string& command) {
    constexpr std::size_t most_bytes = 4 * 1024 * 1024;
    const Poco::Timespan limit(5, 0);
    try {
        const bool is_path = where.starts_with("/");
        const auto address = is_path ? Poco::Net::SocketAddress(Poco::Net::AddressFamily::UNIX_LOCAL, where)
                                     : Poco::Net::SocketAddress(where);
        Poco::Net::StreamSocket socket(address.family());
        socket.connect(address, limit);
        socket.setReceiveTimeout(limit);
        socket.setSendTimeout(limit);
        const auto line = command + "\n";
        socket.sendBytes(line.data(), static_cast<int>(line.size()));
        std::string answer;
        std::array<char, 16 * 1024> buffer{};
        while (answer.size() < most_bytes) {
            const int got = socket.receiveBytes(buffer.data(), static_cast<int>(buffer.size()));
            if (got <= 0) break;
            answer.append(buffer.data(), static_cast<std::size_t>(got));
        }
        return answer;
    } catch (const Poco::Exception& error) {
        throw Error(ErrorKind::unreachable, fmt::format("HAProxy at {}: {}", where, error.displayText()));
    }
}

class HaproxySocketTraffic final : public Traffic {
  public:
    explicit HaproxySocketTraffic(const BuildSpec& spec)
        : spec_(spec),
          options_(spec.agent->traffic_of(*spec.app)),
          server_(config::expand(options_.haproxy_server, health_variables(spec, spec.rollout.commit))) {
        const auto slash = server_.find('/');
        if (slash == std::string::npos || server_.find_first_of(" ;\n") != std::string::npos) {
            throw Error(ErrorKind::invalid, fmt::format("haproxy_server '{}' is not BACKEND/SERVER", server_));
        }
        if (options_.haproxy_sockets.empty()) throw Error(ErrorKind::invalid, "haproxy_socket needs 'haproxy_sockets'");
        status_prefix_ = fmt::format("{},{},", server_.substr(0, slash), server_.substr(slash + 1));
    }
    Noticed leave(const std::stop_token&) override {
        set_mode(spec_, ServiceMode::draining);
        set_state("drain");
        return Noticed::yes;
    }
    Noticed rejoin(const std::stop_token& stop) override {
        set_state("ready");
        set_mode(spec_, ServiceMode::serving);
        const SystemClock clock;
        const auto deadline = clock.now() + options_.rejoin_timeout;
        for (const auto& where : options_.haproxy_sockets) {
            while (!is_up(where)) {
                if (clock.now() >= deadline) return Noticed::no;
                pause_for(Milliseconds(100), stop);
            }
        }
        return Noticed::yes;
    }
    std::string describe() const override { return fmt::format("HAProxy's server {}", server_); }

  private:
    void set_state(std::string_view state) {
        for (const auto& where : options_.haproxy_sockets) {
            const auto answer = ask_haproxy(where, fmt::format("set server {} state {}", server_, state));
            if (trim(answer).empty()) continue;
            throw Error(ErrorKind::unreachable,
                        fmt::format("HAProxy at {}: {}", where, escape_control(first_line(trim(answer)))));
        }
    }
    /// Status is column 18 of `show stat`: `UP`, `UP 1/3`, `no check`, `DOWN`, `DRAIN`, …
    bool is_up(const std::string& where) {
        for (const auto& line : split(ask_haproxy(where, "show stat"), '\n')) {
            if (!line.starts_with(status_prefix_)) continue;
            const auto fields = split(line, ',');
            return fields.size() > 17 && (fields[17].starts_with("UP") || fields[17] == "no check");
        }
        throw Error(ErrorKind::not_found, fmt::format("HAProxy at {} knows no server {}", where, server_));
    }
    const BuildSpec& spec_;
    const config::Traffic& options_;
    std::string server_;
    std::string status_prefix_;
};

class RefuseTraffic final : public Traffic {
  public:
    explicit RefuseTraffic(const BuildSpec& spec) : spec_(spec), options_(spec.agent->traffic_of(*spec.app)) {
        if (options_.refuse_port == 0) throw Error(ErrorKind::invalid, "traffic method refuse needs 'refuse_port'");
    }
    Noticed leave(const std::stop_token& stop) override {
        set_mode(spec_, ServiceMode::draining);
        nft(refuse_rules(options_.refuse_port), stop);
        pause_for(options_.settle, stop);
        return Noticed::yes;
    }
    Noticed rejoin(const std::stop_token& stop) override {
        nft(no_refuse_rules(options_.refuse_port), stop);
        set_mode(spec_, ServiceMode::serving);
        pause_for(options_.settle, stop);
        return Noticed::yes;
    }
    std::string describe() const override {
        return fmt::format("new connections to port {} being refused", options_.refuse_port);
    }

  private:
    void nft(const std::string& rules, const std::stop_token& stop) {
        process::Command command;
        command.argv = {"nft", "-f", "-"};
        command.environment = {"PATH=/usr/sbin:/sbin:/usr/bin:/bin", "LANG=C.UTF-8"};
        command.timeout = Milliseconds(10'000);
        command.input = rules;
        const auto done = process::capture(command, stop, 16 * 1024);
        if (done.result.ok()) return;
        throw Error(ErrorKind::io,
                    fmt::format("nft: {}: {}", done.result.describe(), escape_control(first_line(trim(done.output)))));
    }
    const BuildSpec& spec_;
    const config::Traffic& options_;
};

}  // namespace

std::string no_refuse_rules(std::uint16_t port) {
    // Declared before it is deleted, so that deleting works whether or not it was there.
    return fmt::format("table inet baton_refuse_{0} {{\n}}\ndelete table inet baton_refuse_{0}\n", port);
}

std::string refuse_rules(std::uint16_t port) {
    return no_refuse_rules(port) +
           fmt::format(
               "table inet baton_refuse_{0} {{\n"
               "  chain input {{\n"
               "    type filter hook input priority -10; policy accept;\n"
               "    iifname != \"lo\" tcp dport {0} tcp flags & (syn | ack) == syn reject with tcp reset\n"
               "  }}\n"
               "}}\n",
               port);
}

std::unique_ptr<Traffic> make_file_traffic(const BuildSpec& spec) { return std::make_unique<FileTraffic>(spec); }
std::unique_ptr<Traffic> make_command_traffic(const BuildSpec& spec, BuildLog& log) {
    return std::make_unique<CommandTraffic>(spec, log);
}
std::unique_ptr<Traffic> make_haproxy_socket_traffic(const BuildSpec& spec) {
    return std::make_unique<HaproxySocketTraffic>(spec);
}
std::unique_ptr<Traffic> make_refuse_traffic(const BuildSpec& spec) { return std::make_unique<RefuseTraffic>(spec); }

}  // namespace baton::build
