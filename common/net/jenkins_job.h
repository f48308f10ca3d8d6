// SPDX-License-Identifier: MIT
// A job of a Jenkins as a good caller sees it: trigger it once, follow queue item and build to the end.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "common/error.h"
#include "common/net/form.h"
#include "common/net/http_client.h"

namespace baton::net {

/// Where the job is, and who calls.
struct JenkinsAccess {
    std::string url;     ///< of the Jenkins, `https://host/ci`
    std::string job;     ///< `folder/job`
    std::string user;    ///< empty: `secret` is the job's own trigger token
    std::string secret;  ///< the user's API token
    ClientTls tls;
};

/// Each call is one request, or two where Jenkins wants a crumb first. Redirects are never followed, so the
/// credentials go nowhere else. Errors: unreachable, timeout and busy (5xx) for what may pass; unauthorized, forbidden,
/// not_found, conflict (disabled) and invalid for what a person has to mend. Their texts hold no secret.
/// One thread at a time.
class JenkinsJob {
  public:
    explicit JenkinsJob(JenkinsAccess access);

    struct Facts {
        std::set<std::string> parameters;  ///< declared ones
        unsigned next_build = 1;
    };
    [[nodiscard]] Facts look() const;

    /// Of what the job declares only; `cause` is for people. The queue item's id; none when the answer does not tell it
    /// (Jenkins before 1.519): then find() does.
    std::optional<std::uint64_t> trigger(const Facts& facts, const Arguments& parameters, const std::string& cause);

    struct QueueItem {
        enum class State { waiting, started, cancelled, gone };
        State state = State::waiting;
        std::string why;     ///< waiting: what for
        unsigned build = 0;  ///< started
    };
    [[nodiscard]] QueueItem queue_item(std::uint64_t id) const;
    /// The build that a queue item became, when Jenkins has forgotten the item.
    [[nodiscard]] std::optional<unsigned> build_of(std::uint64_t queue_id) const;

    /// What became of a trigger whose answer was lost: a queue item or build of number `from` or later whose cause or
    /// parameters hold `marker`, or that this very user started.
    struct Found {
        std::optional<std::uint64_t> queue_id;
        std::optional<unsigned> build;
    };
    [[nodiscard]] Found find(std::string_view marker, unsigned from) const;

    struct Build {
        bool building = true;
        std::string result;  ///< SUCCESS, UNSTABLE, …; empty while it runs
        std::string commit;  ///< that the git plugin says it has built; may be empty
    };
    [[nodiscard]] Build build(unsigned number) const;
    void stop(unsigned number);

    /// For people: where a build is.
    [[nodiscard]] std::string url_of(unsigned number) const;

  private:
    [[nodiscard]] HttpRequest request(std::string method, const std::string& target) const;
    [[nodiscard]] HttpResponse get(const std::string& target) const;
    [[nodiscard]] HttpResponse post(const std::string& target, const Arguments& form);
    void fetch_crumb();

    JenkinsAccess access_;
    HttpClient client_;
    std::string base_;  ///< without a slash at the end
    std::string path_;  ///< of the job below it: `/job/folder/job/name`
    HeaderList crumb_;  ///< what goes with a POST, once Jenkins has asked for it
};

/// Whether trying again may help.
[[nodiscard]] bool may_pass(const Error& error);

/// `folder/name` as `/job/folder/job/name`, each segment encoded.
[[nodiscard]] std::string jenkins_job_path(std::string_view job);
/// The digits after `/queue/item/` in a Location, absolute or relative, with or without a slash at the end.
[[nodiscard]] std::optional<std::uint64_t> queue_id_in(std::string_view location);

}  // namespace baton::net
