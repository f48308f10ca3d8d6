// SPDX-License-Identifier: MIT
// Releases of an app on this node: making them, making one current, going back, clearing away.
#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/build/steps/build_spec.h"
#include "common/config/pipeline_config.h"
#include "common/process/process.h"

namespace baton::build {

/// What is kept about a release, in `deploy_to/releases/.records/ID.json`: enough to start it again years later.
struct ReleaseRecord {
    std::string id;  ///< directory name: `20261123T133005-0123456789ab`
    CommitId commit;
    std::string pipeline;              ///< text of its baton.yaml
    std::filesystem::path virtualenv;  ///< empty: none
    unsigned build = 0;
};

/// Layout below `deploy_to`: `releases/ID` (complete, or `ID.partial`), `current` -> `releases/ID` by rename(2),
/// `shared/NAME`, and with publish: rsync the fixed directory, of which `current` says what it was filled from.
///
/// `releases/.state.json` is the memory of a switch, written durably before `current` moves: from which release to
/// which. It outlives the agent: whoever comes back in the middle knows what to go back to. It is cleared by
/// confirm() and by settle_restored(), for which there is room on the disk from the switch's beginning on. One thread;
/// no two Publishers of one app at a time.
class Publisher {
  public:
    Publisher(std::filesystem::path deploy_to, std::optional<process::Account> account);

    /// Copies `workspace` (without `.git`) to `ID.partial`, with links for `shared`. Returns the partial directory.
    /// Error(io), Error(cancelled).
    [[nodiscard]] std::filesystem::path stage_release(const std::filesystem::path& workspace,
                                                      const ReleaseRecord& record,
                                                      const std::vector<std::string>& shared,
                                                      const std::stop_token& stop);
    /// Stores the record and renames `ID.partial` to `ID`: from now on it is complete. Returns its directory.
    [[nodiscard]] std::filesystem::path complete_release(const ReleaseRecord& record);
    void drop_partial(const std::string& id);
    /// An id that no release has: time and commit.
    [[nodiscard]] std::string new_id(const CommitId& commit, WallTime now) const;

    /// The newest complete release of a commit; for going back without building.
    [[nodiscard]] std::optional<ReleaseRecord> find_release(const CommitId& commit) const;
    [[nodiscard]] std::optional<ReleaseRecord> record_of(const std::filesystem::path& release) const;
    [[nodiscard]] std::filesystem::path directory_of(const std::string& id) const { return releases_ / id; }

    /// Where the app runs from: `current`, or the fixed directory of publish: rsync.
    [[nodiscard]] std::filesystem::path live_directory(const config::Switch& how) const;
    /// The release that `current` points to; none before the first.
    [[nodiscard]] std::optional<std::filesystem::path> current() const;
    /// What a switch under way (or cut off) goes back to; without one, what is current. None on a first deploy.
    [[nodiscard]] std::optional<std::filesystem::path> previous() const;

    /// A switch has begun and is neither confirmed nor undone.
    [[nodiscard]] bool switch_under_way() const { return !read_state().to.empty(); }
    /// Stores durably that a switch to `release` begins. A switch that was cut off keeps its way back: the
    /// release that was last proved, not the one that it left half published.
    void begin_switch(const std::filesystem::path& release);
    /// The restart steps of that release have ended well: one that was cut off from here on is verified, not restarted.
    void note_restarted();
    [[nodiscard]] bool restarted() const { return read_state().restarted; }
    /// A switch to `release` that was confirmed counts as under way again, back to the release before it: it fell ill
    /// while it was watched. Nothing when `release` is not what was proved last.
    void reopen_switch(const std::filesystem::path& release);
    /// Makes `release` what is live. Idempotent; at any instant a reader of `current` finds one whole release.
    void publish(const std::filesystem::path& release, const config::Switch& how, const std::stop_token& stop);
    /// Nothing was current before: takes `current` away again.
    void unpublish();
    /// The switch is over and proved: current becomes the last good one.
    void confirm();
    /// The switch was undone, the old release is proved.
    void settle_restored();

    /// Removes all but the newest `keep` releases. Never: current, what a switch goes back to, the last good one and
    /// the one before it, nor one that is the working directory of a live process.
    void prune(unsigned keep);

  private:
    struct State {
        std::string good;        ///< last release proved in service
        std::string previous;    ///< the one before it
        std::string from;        ///< a switch is under way: back to this; may be empty on a first deploy
        std::string to;          ///< a switch is under way: to this; empty: none is
        bool restarted = false;  ///< and its restart steps have ended well
    };
    [[nodiscard]] State read_state() const;
    void write_state(const State& state) const;
    /// Writes how a switch ended; on a disk that has filled up since it began, out of what begin_switch() laid by.
    void write_end(const State& state) const;
    [[nodiscard]] static State confirmed(State state, const std::string& now);
    [[nodiscard]] static State restored(State state);
    [[nodiscard]] static std::string dump(const State& state);
    [[nodiscard]] std::vector<std::string> ids() const;
    void link_shared(const std::filesystem::path& partial, const std::vector<std::string>& shared,
                     const std::filesystem::path& workspace) const;
    void guard_shared(const std::filesystem::path& live, const std::vector<std::string>& shared) const;
    void rsync(std::vector<std::string> argv, const std::stop_token& stop) const;

    std::filesystem::path deploy_to_;
    std::filesystem::path releases_;
    std::filesystem::path records_;
    std::optional<process::Account> account_;
};

}  // namespace baton::build
