// SPDX-License-Identifier: MIT
// The files and the socket of a holder.
#include "common/process/hold_files.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/error.h"
#include "common/json.h"
#include "common/process/parameters.h"
#include "common/text.h"

namespace baton::process {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t most_record_bytes = 64UL * 1024;
/// A holder answers from a loop that never waits for its app.
constexpr timeval patience{5, 0};

struct ControlAddress {
    Fd folder;  ///< the address names it by this descriptor
    sockaddr_un address{};
};

ControlAddress address_of(const fs::path& folder, const std::string& name) {
    ControlAddress at;
    at.folder = Fd(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!at.folder) throw system_error(fmt::format("open {}", folder.string()), errno);
    at.address.sun_family = AF_UNIX;
    const auto path = fmt::format("/proc/self/fd/{}/{}.sock", at.folder.get(), name);
    if (path.size() >= sizeof at.address.sun_path) throw Error(ErrorKind::invalid, "the name of a holder is too long");
    std::memcpy(at.address.sun_path, path.data(), path.size());
    return at;
}

Fd control_socket() {
    Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (!fd) throw system_error("socket", errno);
    return fd;
}

}  // namespace

std::string encode(const HoldOrder& order) {
    const json::Value value = {{"folder", order.folder.string()},
                               {"name", order.name},
                               {"label", order.label},
                               {"command", to_hex(encode(Parameters{order.command, 0, {}}))},
                               {"listen", order.listen},
                               {"own_host", order.own_host},
                               {"others", order.others},
                               {"stop_signal", order.stop_signal},
                               {"stop_timeout_ms", order.stop_timeout.count()}};
    return json::dump(value);
}

HoldOrder decode_order(const std::string& text) {
    const auto value = json::parse(text);
    HoldOrder order;
    order.folder = json::text(value, "folder");
    order.name = json::text(value, "name");
    order.label = json::text(value, "label");
    const auto command = from_hex(json::text(value, "command"));
    if (!command) throw Error(ErrorKind::corrupt, "the order of a holder holds no command");
    order.command = decode_parameters(*command).command;
    order.listen = json::text(value, "listen");
    order.own_host = json::text(value, "own_host");
    order.others = json::member(value, "others").get<std::vector<std::string>>();
    order.stop_signal = static_cast<int>(json::whole(value, "stop_signal"));
    order.stop_timeout = Milliseconds(json::whole(value, "stop_timeout_ms"));
    return order;
}

void write_record(const fs::path& file, const HoldRecord& record) {
    const json::Value value = {{"label", record.label},
                               {"listen", record.listen},
                               {"pid", record.pid},
                               {"started", record.started},
                               {"own_port", record.own_port},
                               {"stop_signal", record.stop_signal},
                               {"stop_timeout_ms", record.stop_timeout.count()},
                               {"log_from", record.log_from}};
    write_file_atomically(file, json::dump(value), 0600);
}

std::optional<HoldRecord> read_record(const fs::path& file) {
    if (!fs::exists(file)) return std::nullopt;
    const auto value = json::parse(read_file(file, most_record_bytes));
    HoldRecord record;
    record.label = json::text(value, "label");
    record.listen = json::text(value, "listen");
    record.pid = static_cast<pid_t>(json::whole(value, "pid"));
    record.started = json::whole(value, "started");
    record.own_port = static_cast<std::uint16_t>(json::whole(value, "own_port"));
    record.stop_signal = static_cast<int>(json::whole(value, "stop_signal"));
    record.stop_timeout = Milliseconds(json::whole(value, "stop_timeout_ms"));
    record.log_from = json::whole(value, "log_from");
    return record;
}

bool is_alive(const HoldRecord& record) {
    return start_time_of(record.pid) == record.started && !is_zombie(record.pid);
}

std::string encode(const Held& held) {
    const json::Value value = {{"state", static_cast<int>(held.state)},
                               {"label", held.label},
                               {"message", held.message},
                               {"pid", held.pid},
                               {"own_port", held.own_port},
                               {"kept", held.kept},
                               {"restarts", held.restarts}};
    return json::dump(value);
}

Held decode_held(const std::string& text) {
    const auto value = json::parse(text);
    Held held;
    held.state = json::whole(value, "state") == 0 ? Held::State::running : Held::State::ended;
    held.label = json::text(value, "label");
    held.message = json::text(value, "message");
    held.pid = static_cast<pid_t>(json::number_or(value, "pid", -1));
    held.own_port = static_cast<std::uint16_t>(json::whole(value, "own_port"));
    held.kept = json::flag(value, "kept");
    held.restarts = static_cast<unsigned>(json::whole(value, "restarts"));
    return held;
}

Fd open_control(const fs::path& folder, const std::string& name) {
    remove_control(folder, name);
    const auto at = address_of(folder, name);
    Fd fd = control_socket();
    constexpr int backlog = 16;
    const auto* address = static_cast<const sockaddr*>(static_cast<const void*>(&at.address));
    if (::bind(fd.get(), address, sizeof at.address) != 0) throw system_error("bind the holder's socket", errno);
    if (::listen(fd.get(), backlog) != 0) throw system_error("listen on the holder's socket", errno);
    return fd;
}

Fd connect_control(const fs::path& folder, const std::string& name) {
    if (!fs::exists(folder)) return {};
    const auto at = address_of(folder, name);
    Fd fd = control_socket();
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    const auto* address = static_cast<const sockaddr*>(static_cast<const void*>(&at.address));
    if (::connect(fd.get(), address, sizeof at.address) == 0) return fd;
    if (errno == ENOENT || errno == ECONNREFUSED) return {};
    throw system_error(fmt::format("connect to the holder {}", name), errno);
}

void remove_control(const fs::path& folder, const std::string& name) noexcept {
    std::error_code ignored;
    fs::remove(folder / (name + ".sock"), ignored);
}

}  // namespace baton::process
