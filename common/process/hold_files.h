// SPDX-License-Identifier: MIT
// What a holder and those who speak to it share: the files in its folder and the words on its socket.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "common/file.h"
#include "common/process/hold.h"
#include "common/process/tree.h"

namespace baton::process {

/// The hidden first argument that makes a program a holder; the second names its order's file.
constexpr const char* hold_argument = "--hold-app";

constexpr const char* word_status = "status";
constexpr const char* word_keep = "keep";
constexpr const char* word_stop = "stop";
constexpr const char* word_socket = "socket";

/// The process as its holder has noted it: enough to find it again when the holder is no more.
struct HoldRecord {
    std::string label;
    std::string listen;
    pid_t pid = -1;
    StartTime started = 0;
    std::uint16_t own_port = 0;
    int stop_signal = SIGTERM;
    Milliseconds stop_timeout{0};
    std::uint64_t log_from = 0;  ///< where its output begins in the log
};

struct HoldPaths {
    HoldPaths(const std::filesystem::path& folder, const std::string& name)
        : order(folder / (name + ".order")), record(folder / (name + ".json")), log(folder / (name + ".log")) {}
    std::filesystem::path order;
    std::filesystem::path record;
    std::filesystem::path log;
};

[[nodiscard]] std::string encode(const HoldOrder& order);
[[nodiscard]] HoldOrder decode_order(const std::string& text);
void write_record(const std::filesystem::path& file, const HoldRecord& record);
/// None when there is no such file.
[[nodiscard]] std::optional<HoldRecord> read_record(const std::filesystem::path& file);
/// The recorded process lives; its id has not passed to another.
[[nodiscard]] bool is_alive(const HoldRecord& record);

[[nodiscard]] std::string encode(const Held& held);
[[nodiscard]] Held decode_held(const std::string& text);

/// The holder's socket: made, or connected to. Neither is bound by the 108 characters that a socket's path may have.
[[nodiscard]] Fd open_control(const std::filesystem::path& folder, const std::string& name);
/// Without a descriptor when nobody listens there.
[[nodiscard]] Fd connect_control(const std::filesystem::path& folder, const std::string& name);
void remove_control(const std::filesystem::path& folder, const std::string& name) noexcept;

}  // namespace baton::process
