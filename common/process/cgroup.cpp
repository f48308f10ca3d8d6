// SPDX-License-Identifier: MIT
// The files of a cgroup.
#include "common/process/cgroup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "common/file.h"
#include "common/text.h"

namespace baton::process {
namespace {

/// Of 100, which is everybody else's: a build beside a busy app gets about a tenth of the processor.
constexpr std::string_view batch_weight = "10";

bool write_control(const std::string& file, std::string_view value) noexcept {
    const int fd = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const bool written = ::write(fd, value.data(), value.size()) == static_cast<ssize_t>(value.size());
    ::close(fd);
    return written;
}

/// Where version 2 is mounted: /sys/fs/cgroup, or below it where version 1 is there too. Empty: nowhere.
std::string mount_point() {
    std::ifstream mounts("/proc/self/mounts");
    for (std::string line; std::getline(mounts, line);) {
        const auto fields = split(line, ' ');
        if (fields.size() > 2 && fields[2] == "cgroup2") return fields[1];
    }
    return {};
}

bool is_delegated(const std::string& directory) {
    for (const char* name : {"user.delegate", "trusted.delegate"}) {
        char value = '0';
        if (::getxattr(directory.c_str(), name, &value, 1) == 1 && value == '1') return true;
    }
    return false;
}

}  // namespace

std::string delegated_cgroup() {
    const auto root = mount_point();
    if (root.empty()) return {};
    std::ifstream own("/proc/self/cgroup");
    for (std::string line; std::getline(own, line);) {
        if (!line.starts_with("0::/")) continue;
        std::filesystem::path directory = root + line.substr(3);
        if (directory.filename() == agent_leaf) directory = directory.parent_path();
        if (!is_delegated(directory) || ::access(directory.c_str(), W_OK) != 0) return {};
        return directory;
    }
    return {};
}

void prepare_cgroups() {
    const auto directory = delegated_cgroup();
    if (directory.empty()) return;
    const auto leaf = directory + "/" + agent_leaf;
    if (::mkdir(leaf.c_str(), 0755) != 0 && errno != EEXIST) return;
    if (!write_control(leaf + "/cgroup.procs", "0")) return;
    // Each by itself: one that this machine lacks must not cost the other.
    for (const char* controller : {"+cpu", "+io"}) {
        static_cast<void>(write_control(directory + "/cgroup.subtree_control", controller));
    }
}

std::string describe_weight(Priority priority) {
    const auto directory = delegated_cgroup();
    if (directory.empty() || priority == Priority::normal) return {};
    std::ifstream file(directory + "/cgroup.subtree_control");
    std::string enabled;
    std::getline(file, enabled);
    const auto words = split(enabled, ' ');
    const bool has_cpu = std::ranges::find(words, "cpu") != words.end();
    if (!has_cpu) return {};
    return priority == Priority::idle ? "cpu.idle" : fmt::format("cpu.weight {}", batch_weight);
}

std::string plan_cgroup(std::string_view step_id) {
    const auto directory = delegated_cgroup();
    return directory.empty() ? std::string() : fmt::format("{}/step-{}", directory, step_id);
}

bool make_cgroup(const std::string& directory, Priority priority) {
    if (::mkdir(directory.c_str(), 0755) != 0) return false;
    if (priority == Priority::normal) return true;
    static_cast<void>(write_control(directory + "/cpu.weight", batch_weight));
    static_cast<void>(write_control(directory + "/io.weight", batch_weight));
    // Like SCHED_IDLE for the whole group; its weight is not looked at any more then.
    if (priority == Priority::idle) static_cast<void>(write_control(directory + "/cpu.idle", "1"));
    return true;
}

void enter_cgroup(const std::string& directory) noexcept {
    static_cast<void>(write_control(directory + "/cgroup.procs", "0"));
}

void end_cgroup(const std::string& directory) noexcept {
    static_cast<void>(write_control(directory + "/cgroup.kill", "1"));
    // Refused while the kernel is still at it or while kept processes live in it; an empty cgroup costs
    // nothing.
    static_cast<void>(::rmdir(directory.c_str()));
}

}  // namespace baton::process
