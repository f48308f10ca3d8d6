// SPDX-License-Identifier: MIT
// A job of a Jenkins, called over its remote access API.
#include "common/net/jenkins_job.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "common/digest.h"
#include "common/json.h"
#include "common/text.h"

namespace baton::net {
namespace {

constexpr Milliseconds call_deadline{10'000};
constexpr std::uint64_t most_answer_bytes = 4ULL * 1024 * 1024;

HttpClientOptions options_of(const JenkinsAccess& access) {
    HttpClientOptions options;
    options.deadline = call_deadline;
    options.max_response_bytes = most_answer_bytes;
    options.tls = access.tls;
    return options;
}

std::string tree(std::string_view fields) { return "/api/json?tree=" + percent_encode(fields); }

/// What Jenkins said about an error: its header, or the first words of its page.
std::string said(const HttpResponse& response) {
    if (const auto error = response.headers.find("X-Error")) return first_line(*error);
    return fmt::format("it answered {}", response.status);
}

ErrorKind kind_of(int status) {
    if (status >= 500 || status == 429 || status == 408) return ErrorKind::busy;
    switch (status) {
        case 401: return ErrorKind::unauthorized;
        case 403: return ErrorKind::forbidden;
        case 404: return ErrorKind::not_found;
        case 409: return ErrorKind::conflict;
        default: return ErrorKind::invalid;
    }
}

/// A page of a proxy or a login form in place of JSON counts as Jenkins not being there (yet).
json::Value parsed(const HttpResponse& response) {
    try {
        auto value = json::parse(response.body);
        if (value.is_object()) return value;
    } catch (const Error&) {
        // Said below, without the page's text.
    }
    throw Error(ErrorKind::busy, "it answered with something that is not Jenkins' JSON");
}

/// A member that is a list; empty when it is missing, null or something else.
const json::Value& list_of(const json::Value& object, const char* name) {
    static const json::Value none = json::Value::array();
    if (!object.is_object()) return none;
    const auto found = object.find(name);
    return found != object.end() && found->is_array() ? *found : none;
}

std::string text_of(const json::Value& object, const char* name) {
    if (!object.is_object()) return {};
    const auto found = object.find(name);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

template <class Number>
std::optional<Number> number_of(const json::Value& object, const char* name) {
    if (!object.is_object()) return std::nullopt;
    const auto found = object.find(name);
    if (found == object.end() || !found->is_number_unsigned()) return std::nullopt;
    const auto number = found->get<std::uint64_t>();
    if (number > std::numeric_limits<Number>::max()) return std::nullopt;
    return static_cast<Number>(number);
}

bool flag_of(const json::Value& object, const char* name, bool fallback) {
    const auto found = object.find(name);
    return found != object.end() && found->is_boolean() ? found->get<bool>() : fallback;
}

/// Whether the actions of a queue item or build say that it was ours.
bool is_ours(const json::Value& item, std::string_view marker, const std::string& user) {
    for (const auto& action : list_of(item, "actions")) {
        for (const auto& cause : list_of(action, "causes")) {
            for (const char* field : {"note", "shortDescription"}) {
                if (text_of(cause, field).find(marker) != std::string::npos) return true;
            }
            if (!user.empty() && text_of(cause, "userId") == user) return true;
        }
        for (const auto& parameter : list_of(action, "parameters")) {
            if (text_of(parameter, "value").find(marker) != std::string::npos) return true;
        }
    }
    return false;
}

constexpr std::string_view whose = "actions[causes[shortDescription,note,userId],parameters[name,value]]";

}  // namespace

bool may_pass(const Error& error) {
    return error.kind() == ErrorKind::unreachable || error.kind() == ErrorKind::timeout ||
           error.kind() == ErrorKind::busy || error.kind() == ErrorKind::too_large;
}

std::string jenkins_job_path(std::string_view job) {
    std::string path;
    for (const auto& segment : split(job, '/')) {
        if (!segment.empty()) path += "/job/" + percent_encode(segment);
    }
    return path;
}

std::optional<std::uint64_t> queue_id_in(std::string_view location) {
    constexpr std::string_view before = "queue/item/";
    const auto at = location.find(before);
    if (at == std::string_view::npos || (at > 0 && location[at - 1] != '/')) return std::nullopt;
    location.remove_prefix(at + before.size());
    return parse_whole(location.substr(0, location.find_first_of("/?#")));
}

JenkinsJob::JenkinsJob(JenkinsAccess access)
    : access_(std::move(access)),
      client_(options_of(access_)),
      base_(access_.url.substr(0, access_.url.find_last_not_of('/') + 1)),
      path_(jenkins_job_path(access_.job)) {}

HttpRequest JenkinsJob::request(std::string method, const std::string& target) const {
    HttpRequest request;
    request.method = std::move(method);
    request.url = base_ + target;
    request.headers.set("Accept", "application/json");
    if (!access_.user.empty())
        request.headers.set("Authorization", "Basic " + base64_encode(access_.user + ":" + access_.secret));
    return request;
}

HttpResponse JenkinsJob::get(const std::string& target) const {
    auto response = client_.call(request("GET", target));
    if (!response.ok()) {
        // A redirect leads to a login page or to another name of the server: neither gets the credentials.
        const bool redirect = response.status >= 300 && response.status < 400;
        throw Error(redirect ? ErrorKind::forbidden : kind_of(response.status),
                    redirect ? fmt::format("it redirects to {}: check 'url', 'user' and 'token_file'",
                                           mask_url(first_line(response.headers.get("Location"))))
                             : said(response));
    }
    return response;
}

void JenkinsJob::fetch_crumb() {
    const auto response = get("/crumbIssuer/api/json");
    const auto value = parsed(response);
    crumb_ = {};
    crumb_.set(text_of(value, "crumbRequestField"), text_of(value, "crumb"));
    std::string cookies;
    for (const auto& [name, cookie] : response.headers.fields()) {
        if (same_token(name, "Set-Cookie"))
            cookies += (cookies.empty() ? "" : "; ") + cookie.substr(0, cookie.find(';'));
    }
    if (!cookies.empty()) crumb_.set("Cookie", cookies);
}

HttpResponse JenkinsJob::post(const std::string& target, const Arguments& form) {
    const auto once = [&] {
        auto with = request("POST", target);
        with.headers.set("Content-Type", "application/x-www-form-urlencoded");
        for (const auto& [name, value] : crumb_.fields()) with.headers.set(name, value);
        with.body = encode_query(form);
        return client_.call(with);
    };
    auto response = once();
    // A user's API token needs no crumb; where Jenkins wants one all the same, it refuses before it does anything.
    if (response.status == 403 && response.body.find("No valid crumb") != std::string::npos) {
        fetch_crumb();
        response = once();
    }
    if (response.status >= 400) throw Error(kind_of(response.status), said(response));
    return response;
}

JenkinsJob::Facts JenkinsJob::look() const {
    const auto value = parsed(get(path_ + tree("buildable,nextBuildNumber,property[parameterDefinitions[name]],"
                                               "actions[parameterDefinitions[name]]")));
    if (!flag_of(value, "buildable", true)) throw Error(ErrorKind::conflict, "the job is disabled");
    Facts facts;
    facts.next_build = number_of<unsigned>(value, "nextBuildNumber").value_or(1);
    for (const char* where : {"property", "actions"}) {
        for (const auto& one : list_of(value, where)) {
            for (const auto& parameter : list_of(one, "parameterDefinitions")) {
                facts.parameters.insert(text_of(parameter, "name"));
            }
        }
    }
    return facts;
}

std::optional<std::uint64_t> JenkinsJob::trigger(const Facts& facts, const Arguments& parameters,
                                                 const std::string& cause) {
    Arguments form{{"delay", "0sec"}, {"cause", cause}};
    if (access_.user.empty()) form.emplace_back("token", access_.secret);
    for (const auto& [name, value] : parameters) {
        if (facts.parameters.contains(name)) form.emplace_back(name, value);
    }
    const auto response = post(path_ + (facts.parameters.empty() ? "/build" : "/buildWithParameters"), form);
    const auto location = response.headers.get("Location");
    const auto id = queue_id_in(location);
    if (!id && response.status >= 300 && location.find("/login") != std::string::npos) {
        throw Error(ErrorKind::forbidden, "it wants a login: check 'user' and 'token_file'");
    }
    return id;
}

JenkinsJob::QueueItem JenkinsJob::queue_item(std::uint64_t id) const {
    QueueItem item;
    try {
        const auto value =
            parsed(get(fmt::format("/queue/item/{}{}", id, tree("cancelled,why,executable[number,url]"))));
        item.why = text_of(value, "why");
        const auto executable = value.find("executable");
        if (const auto number = executable == value.end() ? std::nullopt : number_of<unsigned>(*executable, "number")) {
            item.state = QueueItem::State::started;
            item.build = *number;
        } else if (flag_of(value, "cancelled", false)) {
            item.state = QueueItem::State::cancelled;
        }
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::not_found) throw;
        item.state = QueueItem::State::gone;
    }
    return item;
}

std::optional<unsigned> JenkinsJob::build_of(std::uint64_t queue_id) const {
    const auto value = parsed(get(path_ + tree("builds[number,queueId]{0,50}")));
    for (const auto& build : list_of(value, "builds")) {
        if (number_of<std::uint64_t>(build, "queueId") == queue_id) return number_of<unsigned>(build, "number");
    }
    return std::nullopt;
}

JenkinsJob::Found JenkinsJob::find(std::string_view marker, unsigned from) const {
    Found found;
    // The queue before the builds: what leaves it in between is seen among those.
    const auto queue = parsed(get("/queue" + tree(fmt::format("items[id,task[url],{}]", whose))));
    for (const auto& item : list_of(queue, "items")) {
        const auto task = item.find("task");
        // The end of the address: Jenkins may know itself by another name.
        if (task == item.end() || !text_of(*task, "url").ends_with(path_ + "/")) continue;
        if (is_ours(item, marker, access_.user)) found.queue_id = number_of<std::uint64_t>(item, "id");
    }
    const auto value = parsed(get(path_ + tree(fmt::format("builds[number,{}]{{0,20}}", whose))));
    for (const auto& build : list_of(value, "builds")) {
        const auto number = number_of<unsigned>(build, "number");
        if (number && *number >= from && is_ours(build, marker, access_.user)) found.build = number;
    }
    return found;
}

JenkinsJob::Build JenkinsJob::build(unsigned number) const {
    const auto value =
        parsed(get(fmt::format("{}/{}{}", path_, number, tree("building,result,actions[lastBuiltRevision[SHA1]]"))));
    Build build;
    build.result = text_of(value, "result");
    build.building = flag_of(value, "building", build.result.empty());
    for (const auto& action : list_of(value, "actions")) {
        if (!action.is_object()) continue;
        if (const auto revision = action.find("lastBuiltRevision"); revision != action.end()) {
            build.commit = text_of(*revision, "SHA1");
        }
    }
    return build;
}

void JenkinsJob::stop(unsigned number) { (void)post(fmt::format("{}/{}/stop", path_, number), {}); }

std::string JenkinsJob::url_of(unsigned number) const { return fmt::format("{}{}/{}/", base_, path_, number); }

}  // namespace baton::net
