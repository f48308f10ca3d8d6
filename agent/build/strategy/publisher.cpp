// SPDX-License-Identifier: MIT
// Releases of an app on this node.
#include "agent/build/strategy/publisher.h"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <set>
#include <unistd.h>
#include <utility>

#include "agent/build/steps/step_runner.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/file.h"
#include "common/json.h"
#include "common/log.h"
#include "common/text.h"

namespace baton::build {

namespace fs = std::filesystem;

namespace {

constexpr const char* state_file = ".state.json";
/// What the state becomes when a switch has ended, well or badly.
constexpr const char* confirmed_file = ".confirmed.json";
constexpr const char* restored_file = ".restored.json";
constexpr std::uint64_t most_record_bytes = 1024 * 1024;
/// A copy of a release; longer than any sane one takes, so that a dead disk is given up on.
constexpr Milliseconds copy_timeout{10 * 60 * 1000};
constexpr auto partial_is_stale_after = std::chrono::hours(24);

fs::path checked_shared_name(const std::string& name) {
    const auto path = fs::path(name).lexically_normal();
    const bool bad =
        name.empty() || path.is_absolute() || path == "." || *path.begin() == ".." || path.filename().empty();
    if (bad) throw Error(ErrorKind::invalid, fmt::format("shared: '{}' is no directory inside a release", name));
    return path;
}

std::string id_of(const std::optional<fs::path>& release) { return release ? release->filename().string() : ""; }

/// Working directories of all live processes that we may look at.
std::set<std::string> working_directories() {
    std::set<std::string> found;
    std::error_code failed;
    for (const auto& entry : fs::directory_iterator("/proc", failed)) {
        const auto name = entry.path().filename().string();
        if (name.empty() || name.find_first_not_of("0123456789") != std::string::npos) continue;
        std::error_code gone;
        const auto directory = fs::read_symlink(entry.path() / "cwd", gone);
        if (!gone) found.insert(directory.string());
    }
    return found;
}

bool is_in_use(const fs::path& release, const std::set<std::string>& directories) {
    const auto own = release.string();
    return std::ranges::any_of(directories, [&](const std::string& directory) {
        return directory == own || directory.starts_with(own + "/");
    });
}

}  // namespace

Publisher::Publisher(fs::path deploy_to, std::optional<process::Account> account)
    : deploy_to_(std::move(deploy_to)),
      releases_(deploy_to_ / "releases"),
      records_(releases_ / ".records"),
      account_(std::move(account)) {
    if (!deploy_to_.is_absolute()) {
        throw Error(ErrorKind::invalid, fmt::format("deploy_to '{}' must be an absolute path", deploy_to_.string()));
    }
    std::error_code failed;
    fs::create_directories(records_, failed);
    if (failed) throw system_error(fmt::format("make {}", records_.string()), failed.value());
}

void Publisher::rsync(std::vector<std::string> argv, const std::stop_token& stop) const {
    argv.insert(argv.begin(), "/usr/bin/rsync");
    process::Command command;
    command.argv = std::move(argv);
    command.environment = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8"};
    command.timeout = copy_timeout;
    const auto done = process::capture(command, stop, 16 * 1024);
    if (done.result.end == process::Result::End::cancelled) throw Error(ErrorKind::cancelled, "cancelled");
    if (!done.result.ok()) {
        throw Error(ErrorKind::io, fmt::format("rsync: {}: {}", done.result.describe(),
                                               escape_control(first_line(trim(done.output), 400))));
    }
}

std::string Publisher::new_id(const CommitId& commit, WallTime now) const {
    // 2026-11-23T13:05:09.123Z without its punctuation: sorts by time as text.
    auto time = to_iso8601(now).substr(0, 19);
    std::erase_if(time, [](char c) { return c == '-' || c == ':'; });
    const auto base = fmt::format("{}-{}", time, commit.str().substr(0, 12));
    auto id = base;
    for (unsigned n = 2; fs::exists(releases_ / id) || fs::exists(releases_ / (id + ".partial")); ++n) {
        id = fmt::format("{}-{}", base, n);
    }
    return id;
}

fs::path Publisher::stage_release(const fs::path& workspace, const ReleaseRecord& record,
                                  const std::vector<std::string>& shared, const std::stop_token& stop) {
    const auto partial = releases_ / (record.id + ".partial");
    remove_tree(partial);
    std::vector<std::string> argv{"-a", "--exclude=/.git", "--exclude=__pycache__"};
    for (const auto& name : shared) argv.push_back(fmt::format("--exclude=/{}", checked_shared_name(name).string()));
    argv.insert(argv.end(), {workspace.string() + "/", partial.string() + "/"});
    with_context("make the release", [&] {
        rsync(argv, stop);
        link_shared(partial, shared, workspace);
    });
    return partial;
}

void Publisher::link_shared(const fs::path& partial, const std::vector<std::string>& shared,
                            const fs::path& workspace) const {
    for (const auto& name : shared) {
        const auto relative = checked_shared_name(name);
        const auto home = deploy_to_ / "shared" / relative;
        if (!fs::exists(home)) {
            fs::create_directories(home.parent_path());
            const auto seed = workspace / relative;
            if (fs::is_directory(seed) && !fs::is_symlink(seed)) {
                // What the repository has in it is where the shared directory begins.
                const auto half = fs::path(home.string() + ".partial");
                remove_tree(half);
                rsync({"-a", seed.string() + "/", half.string() + "/"}, {});
                fs::rename(half, home);
            } else {
                fs::create_directories(home);
            }
            give_to(deploy_to_ / "shared" / *relative.begin(), account_);
        }
        const auto link = partial / relative;
        fs::create_directories(link.parent_path());
        fs::create_symlink(home, link);
        give_to(link, account_);
    }
}

fs::path Publisher::complete_release(const ReleaseRecord& record) {
    json::Value value = {{"id", record.id},
                         {"commit", record.commit.str()},
                         {"pipeline", record.pipeline},
                         {"virtualenv", record.virtualenv.string()},
                         {"build", record.build}};
    write_file_atomically(records_ / (record.id + ".json"), json::dump(value), 0640);
    const auto release = releases_ / record.id;
    std::error_code failed;
    fs::rename(releases_ / (record.id + ".partial"), release, failed);
    if (failed) throw system_error(fmt::format("complete the release {}", release.string()), failed.value());
    sync_directory(releases_);
    return release;
}

void Publisher::drop_partial(const std::string& id) { remove_tree(releases_ / (id + ".partial")); }

std::optional<ReleaseRecord> Publisher::record_of(const fs::path& release) const {
    const auto file = records_ / (release.filename().string() + ".json");
    if (!fs::exists(file)) return std::nullopt;
    return with_context(fmt::format("read {}", file.string()), [&] {
        const auto value = json::parse(read_file(file, most_record_bytes));
        ReleaseRecord record;
        record.id = json::text(value, "id");
        record.commit = CommitId(json::text(value, "commit"));
        record.pipeline = json::text(value, "pipeline");
        record.virtualenv = json::text_or(value, "virtualenv", "");
        record.build = static_cast<unsigned>(json::whole_or(value, "build", 0));
        return std::optional(record);
    });
}

std::vector<std::string> Publisher::ids() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(releases_)) {
        const auto name = entry.path().filename().string();
        if (name.starts_with(".") || name.ends_with(".partial") || !entry.is_directory()) continue;
        found.push_back(name);
    }
    std::ranges::sort(found);
    return found;
}

std::optional<ReleaseRecord> Publisher::find_release(const CommitId& commit) const {
    auto all = ids();
    for (auto id = all.rbegin(); id != all.rend(); ++id) {
        auto record = record_of(releases_ / *id);
        const bool usable = record && (record->virtualenv.empty() || fs::exists(record->virtualenv));
        if (usable && record->commit == commit) return record;
    }
    return std::nullopt;
}

fs::path Publisher::live_directory(const config::Switch& how) const {
    if (how.publish == config::Publish::symlink) return deploy_to_ / "current";
    const auto relative = fs::path(how.rsync_to.empty() ? "live" : how.rsync_to).lexically_normal();
    const bool bad = relative.is_absolute() || relative == "." || *relative.begin() == ".." ||
                     *relative.begin() == "releases" || *relative.begin() == "shared" || *relative.begin() == "current";
    if (bad)
        throw Error(ErrorKind::invalid,
                    fmt::format("rsync_to: '{}' is no directory of its own below deploy_to", how.rsync_to));
    return deploy_to_ / relative;
}

std::optional<fs::path> Publisher::current() const {
    std::error_code none;
    const auto target = fs::read_symlink(deploy_to_ / "current", none);
    if (none) return std::nullopt;
    return releases_ / target.filename();
}

std::optional<fs::path> Publisher::previous() const {
    const auto state = read_state();
    if (state.to.empty()) return current();
    if (state.from.empty()) return std::nullopt;
    return releases_ / state.from;
}

void Publisher::begin_switch(const fs::path& release) {
    auto state = read_state();
    if (state.to.empty()) state.from = id_of(current());
    const auto to = release.filename().string();
    state.restarted = state.restarted && state.to == to;
    state.to = to;
    // Both ends are laid by before anything is touched: a new release that is healthy must not be taken back because
    // the disk has filled up meanwhile, nor the old one be out of service for it.
    write_file_atomically(releases_ / confirmed_file, dump(confirmed(state, state.to)), 0640);
    write_file_atomically(releases_ / restored_file, dump(restored(state)), 0640);
    write_state(state);
}

void Publisher::note_restarted() {
    auto state = read_state();
    state.restarted = true;
    write_state(state);
}

void Publisher::reopen_switch(const fs::path& release) {
    auto state = read_state();
    const auto id = release.filename().string();
    if (!state.to.empty() || state.good != id || id_of(current()) != id) return;
    state.to = id;
    state.from = state.good = std::exchange(state.previous, {});
    write_state(state);
}

void Publisher::publish(const fs::path& release, const config::Switch& how, const std::stop_token& stop) {
    with_context("publish", [&] {
        if (!fs::is_directory(release)) {
            throw Error(ErrorKind::not_found, fmt::format("the release {} is gone", release.string()));
        }
        if (how.publish == config::Publish::rsync) {
            const auto live = live_directory(how);
            guard_shared(live, how.shared);
            // --checksum: times and sizes alone miss a change within the same second. Compiled Python goes, since it is
            // compared by second and size as well.
            rsync({"-a", "--checksum", "--delay-updates", "--delete-after", "--delete-excluded",
                   "--exclude=__pycache__", release.string() + "/", live.string() + "/"},
                  stop);
        }
        const auto link = deploy_to_ / "current";
        if (fs::exists(fs::symlink_status(link)) && !fs::is_symlink(link)) {
            throw Error(
                ErrorKind::conflict,
                fmt::format("{} is not a symbolic link; move it away once, baton makes its own", link.string()));
        }
        replace_symlink(fs::path("releases") / release.filename(), link);
    });
}

void Publisher::guard_shared(const fs::path& live, const std::vector<std::string>& shared) const {
    for (const auto& name : shared) {
        const auto relative = checked_shared_name(name);
        const auto there = live / relative;
        if (!fs::is_directory(fs::symlink_status(there)) || fs::is_empty(there)) continue;
        // Users' files from before it was shared: rsync would delete them to make way for the link.
        throw Error(ErrorKind::conflict, fmt::format("{} is a directory with files; move them to {} once",
                                                     there.string(), (deploy_to_ / "shared" / relative).string()));
    }
}

void Publisher::unpublish() {
    std::error_code failed;
    fs::remove(deploy_to_ / "current", failed);
    if (failed) throw system_error("remove current", failed.value());
    sync_directory(deploy_to_);
}

void Publisher::confirm() { write_end(confirmed(read_state(), id_of(current()))); }

void Publisher::settle_restored() { write_end(restored(read_state())); }

Publisher::State Publisher::confirmed(State state, const std::string& now) {
    if (state.good != now) state.previous = state.good;
    state.good = now;
    return restored(std::move(state));
}

Publisher::State Publisher::restored(State state) {
    state.from.clear();
    state.to.clear();
    state.restarted = false;
    return state;
}

Publisher::State Publisher::read_state() const {
    const auto file = releases_ / state_file;
    if (!fs::exists(file)) return {};
    return with_context(fmt::format("read {}", file.string()), [&] {
        const auto value = json::parse(read_file(file, most_record_bytes));
        return State{json::text_or(value, "good", ""), json::text_or(value, "previous", ""),
                     json::text_or(value, "from", ""), json::text_or(value, "to", ""),
                     json::flag_or(value, "restarted", false)};
    });
}

std::string Publisher::dump(const State& state) {
    return json::dump({{"good", state.good},
                       {"previous", state.previous},
                       {"from", state.from},
                       {"to", state.to},
                       {"restarted", state.restarted}});
}

void Publisher::write_state(const State& state) const {
    write_file_atomically(releases_ / state_file, dump(state), 0640);
}

void Publisher::write_end(const State& state) const {
    try {
        write_state(state);
    } catch (const Error&) {
        for (const auto* name : {confirmed_file, restored_file}) {
            const auto file = releases_ / name;
            if (!fs::exists(file) || read_file(file, most_record_bytes) != dump(state)) continue;
            std::error_code failed;
            fs::rename(file, releases_ / state_file, failed);
            if (failed) continue;
            sync_directory(releases_);
            return;
        }
        throw;
    }
}

void Publisher::prune(unsigned keep) {
    const auto state = read_state();
    const std::set<std::string> kept{state.good, state.previous, state.from, state.to, id_of(current())};
    const auto directories = working_directories();
    const auto all = ids();
    const std::size_t surplus = all.size() > keep ? all.size() - keep : 0;
    for (std::size_t i = 0; i < surplus; ++i) {
        if (kept.contains(all[i]) || is_in_use(releases_ / all[i], directories)) continue;
        // Renamed first, so that a half removed release is never taken for a whole one.
        const auto gone = releases_ / (all[i] + ".partial");
        fs::rename(releases_ / all[i], gone);
        remove_tree(gone);
        std::error_code ignored;
        fs::remove(records_ / (all[i] + ".json"), ignored);
    }
    for (const auto& entry : fs::directory_iterator(releases_)) {
        if (!entry.path().string().ends_with(".partial")) continue;
        std::error_code failed;
        const auto made = fs::last_write_time(entry.path(), failed);
        if (!failed && made < fs::file_time_type::clock::now() - partial_is_stale_after) remove_tree(entry.path());
    }
}

}  // namespace baton::build
