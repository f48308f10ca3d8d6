// SPDX-License-Identifier: MIT
// Jenkins' remote access API, so that its clients work with an agent as they are. Triggers and webhooks have
// files of their own.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "agent/http/access/access.h"
#include "agent/http/jenkins/model.h"
#include "agent/http/server/message.h"
#include "agent/operations/operations.h"
#include "common/clock.h"
#include "common/config/agent_config.h"

namespace baton::http {

/// Any thread.
class Jenkins {
  public:
    Jenkins(operations::Operations& operations, const config::AgentConfig& config, Access& access, const Clock& clock);

    /// `/` is a page for anyone. None for a path that Jenkins has not. Throws Error for what is refused: forbidden
    /// before not_found, so that nobody learns which jobs there are without the right to read.
    [[nodiscard]] std::optional<Response> handle(const Request& request, const Principal& principal);

  private:
    using Path = std::span<const std::string>;

    [[nodiscard]] std::optional<Response> open_to_all(const Request& request, const Principal& principal);
    [[nodiscard]] std::optional<Response> server(const Request& request, const Principal& principal);
    [[nodiscard]] Response quiet_down(const Request& request, const Principal& principal, bool quieting);
    [[nodiscard]] Response queue(const Request& request, const Principal& principal);
    [[nodiscard]] Response cancel(const Request& request, const Principal& principal, std::uint64_t id, bool strict);
    [[nodiscard]] Response feed(const Request& request, const std::optional<AppName>& app, std::string_view name);

    [[nodiscard]] Response job(const Request& request, const Principal& principal);
    [[nodiscard]] std::optional<Response> change_job(const AppName& app, const Request& request,
                                                     const Principal& principal);
    [[nodiscard]] Response build(const AppName& app, const Request& request, const Principal& principal);
    [[nodiscard]] Response build_part(const AppName& app, unsigned number, const Request& request, Path rest);
    [[nodiscard]] Response stop(const AppName& app, unsigned number, const Request& request, const Principal& principal,
                                const std::string& verb);
    [[nodiscard]] Response console(const AppName& app, unsigned number);
    [[nodiscard]] Response progressive(const AppName& app, unsigned number, const Request& request, bool html);
    /// A kept file; a folder's page, or its list (`*plain*`), or all of it (`*zip*/NAME.zip`).
    [[nodiscard]] Response artifact(const operations::BuildView& build, const Request& request, Path relative);
    [[nodiscard]] Response kept_file(const operations::BuildView& build, const std::string& path);
    [[nodiscard]] Response kept_archive(const operations::BuildView& build, const std::string& folder,
                                        const std::vector<std::string>& below);

    /// The apps as jobs: all of them, or the one alone. What it costs is paid when a property is printed.
    [[nodiscard]] ServerView view(const Request& request, const std::optional<AppName>& only = std::nullopt) const;
    [[nodiscard]] JobView job_view(const config::App& app, const std::vector<operations::QueueItem>& waiting) const;
    [[nodiscard]] std::optional<unsigned> build_number(const AppName& app, const std::string& segment) const;

    operations::Operations& operations_;
    const config::AgentConfig& config_;
    Access& access_;
    const Clock& clock_;
    std::string crumb_secret_;
};

}  // namespace baton::http
