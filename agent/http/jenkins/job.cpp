// SPDX-License-Identifier: MIT
// Jenkins' remote access API: jobs and builds, their logs and tests.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "agent/http/export/export_print.h"
#include "agent/http/jenkins/jenkins.h"
#include "agent/http/jenkins/response.h"
#include "agent/http/jenkins/stages.h"
#include "common/error.h"
#include "common/text.h"

namespace baton::http {

namespace {

constexpr std::size_t piece_bytes = 256UL * 1024;
constexpr std::string_view plain = "text/plain;charset=UTF-8";

Error nothing_there() { return Error(ErrorKind::not_found, "there is nothing of this name"); }

/// Verbs of a job or a build that create, configure or delete.
bool is_refused_verb(std::string_view segment) {
    constexpr std::array<std::string_view, 9> verbs{"doDelete",        "doRename",  "doWipeOutWorkspace",
                                                    "nextbuildnumber", "move",      "submitDescription",
                                                    "confirmRename",   "promotion", "toggleLogKeep"};
    return std::ranges::find(verbs, segment) != verbs.end();
}

std::uint64_t start_of(const Request& request) {
    const std::string text = request.arg("start").value_or("");
    if (text.empty()) return 0;
    const bool negative = text.starts_with('-');
    const auto start = parse_whole(negative ? std::string_view(text).substr(1) : std::string_view(text));
    if (!start) throw Error(ErrorKind::invalid, "'start' must be a number of bytes");
    return negative ? 0 : *start;
}

}  // namespace

Response Jenkins::job(const Request& request, const Principal& principal) {
    const AppName app(request.path[1]);
    if (auto response = change_job(app, request, principal)) return std::move(*response);
    access_.require(principal, config::Role::read);
    (void)config_.app(app);
    if (request.path.size() == 2) return note_page(app.str(), fmt::format("{} on {}", app, config_.self));
    const std::string& what = request.path[2];
    if (what == "api") {
        const ServerView server = view(request, app);
        return export_response(job_page(server, server.jobs.front()), request, path_from(request, 2));
    }
    if (what == "rssAll" || what == "rssFailed" || what == "rssLatest") return feed(request, app, what);
    if (what == "description") return Response::content(std::string(plain), "");
    if (what == "config.xml") {
        if (request.method != "GET" && request.method != "HEAD") return not_offered();
        const bool disabled = view(request, app).jobs.front().disabled;
        XmlNode project;
        project.name = "project";
        project.add("description");
        project.add("disabled", disabled ? "true" : "false");
        return Response::content("application/xml;charset=UTF-8", write_xml(project, Declaration::xml));
    }
    if (is_refused_verb(what)) return not_offered();
    return build(app, request, principal);
}

std::optional<Response> Jenkins::change_job(const AppName& app, const Request& request, const Principal& principal) {
    if (request.path.size() < 3) return std::nullopt;
    const std::string& verb = request.path[2];
    if (verb == "enable" || verb == "disable") {
        access_.require(principal, config::Role::operate);
        if (request.method != "POST") return post_only();
        (void)operations_.set_disabled(app, verb == "disable", Access::caller(principal, request));
        return redirect_to(request, fmt::format("/job/{}/", app));
    }
    if (verb == "cancelQueue") {
        access_.require(principal, config::Role::trigger);
        if (request.method != "POST") return post_only();
        (void)config_.app(app);
        auto items = operations_.queue();
        std::erase_if(items, [&](const operations::QueueItem& item) { return item.app != app; });
        for (const auto& item : items) access_.require_own(principal, operations_.is_own_item(item.id, principal.name));
        for (const auto& item : items) (void)cancel(request, principal, item.id, false);
        return redirect_to(request, fmt::format("/job/{}/", app));
    }
    return std::nullopt;
}

std::optional<unsigned> Jenkins::build_number(const AppName& app, const std::string& segment) const {
    if (const auto link = permalink_named(segment)) return operations_.permalink(app, *link);
    const auto number = parse_whole(segment);
    if (!number || *number == 0 || *number > UINT32_MAX) return std::nullopt;
    return static_cast<unsigned>(*number);
}

Response Jenkins::build(const AppName& app, const Request& request, const Principal& principal) {
    const auto number = build_number(app, request.path[2]);
    if (!number) throw Error(ErrorKind::not_found, fmt::format("{} has no build {}", app, request.path[2]));
    if (request.path.size() == 3) {
        const operations::BuildView build = operations_.build(app, *number);
        return note_page(fmt::format("{} #{}", app, *number), result_of(build).empty() ? "running" : result_of(build));
    }
    const std::string& what = request.path[3];
    if (what == "stop" || what == "term" || what == "kill") return stop(app, *number, request, principal, what);
    if (is_refused_verb(what)) return not_offered();
    return build_part(app, *number, request, path_from(request, 3));
}

Response Jenkins::build_part(const AppName& app, unsigned number, const Request& request, Path rest) {
    const std::string& what = rest.front();
    const operations::BuildView build = operations_.build(app, number);
    if (what == "api") {
        const ServerView server = view(request, app);
        return export_response(build_page(server, server.jobs.front(), build), request, rest);
    }
    if (what == "consoleText") return console(app, number);
    if (what == "console") return redirect_to(request, fmt::format("/job/{}/{}/consoleText", app, number));
    if (what == "logText" && rest.size() > 1 && rest[1] == "progressiveText") {
        return progressive(app, number, request, false);
    }
    if (what == "logText" && rest.size() > 1 && rest[1] == "progressiveHtml") {
        return progressive(app, number, request, true);
    }
    if (what == "testReport") {
        const ServerView server = view(request, app);
        const auto page = test_report_page(server.jobs.front(), build);
        if (!page) throw Error(ErrorKind::not_found, fmt::format("build {} has no test report", number));
        return export_response(*page, request, rest.subspan(1));
    }
    if (what == "artifact") return artifact(build, request, rest.subspan(1));
    if (what == "buildNumber") return Response::content(std::string(plain), fmt::format("{}", number));
    if (what == "buildTimestamp") {
        return Response::content(std::string(plain), to_iso8601(from_epoch_ms(build.started_ms)));
    }
    if (what == "wfapi") {
        return Response::content("application/json;charset=UTF-8", to_json_text(stages_of(build), Layout::compact));
    }
    throw nothing_there();
}

Response Jenkins::stop(const AppName& app, unsigned number, const Request& request, const Principal& principal,
                       const std::string& verb) {
    access_.require(principal, config::Role::trigger);
    if (request.method != "POST") return post_only();
    access_.require_own(principal, operations_.is_own_build(app, number, principal.name));
    const std::string answer = operations_.stop_build(app, number, Access::caller(principal, request));
    // The clients of stop want a redirect, those of term and kill a success.
    if (verb != "stop") return Response::content(std::string(plain), answer + "\n");
    return redirect_to(request, fmt::format("/job/{}/{}/", app, number));
}

Response Jenkins::console(const AppName& app, unsigned number) {
    auto first = operations_.log(app, number, 0, piece_bytes, Milliseconds{0}, {});
    if (first.bytes.empty()) {
        // An empty answer means "no such build" to some clients.
        for (const wire::Cause& cause : operations_.build(app, number).causes) first.bytes += cause.text + "\n";
        if (first.bytes.empty()) first.bytes = "\n";
        return Response::content(std::string(plain), first.bytes);
    }
    const auto second = operations_.log(app, number, first.next, 1, Milliseconds{0}, {});
    if (second.bytes.empty()) return Response::content(std::string(plain), std::move(first.bytes));
    const std::uint64_t most_bytes = config_.app(app).max_log_bytes;
    return Response::streamed(std::string(plain), [this, app, number, most_bytes](Writer& writer) {
        // What a running build prints meanwhile comes along, up to the cap of a log.
        for (std::uint64_t offset = 0; offset <= most_bytes;) {
            const auto piece = operations_.log(app, number, offset, piece_bytes, Milliseconds{0}, {});
            if (piece.bytes.empty()) return true;
            if (!writer.write(piece.bytes)) return false;
            offset = piece.next;
        }
        return true;
    });
}

Response Jenkins::progressive(const AppName& app, unsigned number, const Request& request, bool html) {
    const std::uint64_t start = start_of(request);
    auto piece = operations_.log(app, number, start, piece_bytes, Milliseconds{0}, {});
    // A start beyond the end belongs to a log that was replaced.
    if (piece.bytes.empty() && piece.next < start)
        piece = operations_.log(app, number, 0, piece_bytes, Milliseconds{0}, {});
    if (piece.more && !piece.bytes.empty()) {
        // Whole lines only, so that no client decodes half a character; one endless line goes out as it
        // comes.
        const std::size_t end = piece.bytes.rfind('\n');
        const bool endless = end == std::string::npos && piece.bytes.size() > piece_bytes / 2;
        if (!endless) {
            const std::size_t whole = end == std::string::npos ? 0 : end + 1;
            piece.next -= piece.bytes.size() - whole;
            piece.bytes.resize(whole);
        }
    }
    Response response = html ? Response::content("text/html;charset=UTF-8", escape_html(piece.bytes))
                             : Response::content(std::string(plain), std::move(piece.bytes));
    response.headers.set("X-Text-Size", std::to_string(piece.next));
    if (piece.more) response.headers.set("X-More-Data", "true");
    return response;
}

}  // namespace baton::http
