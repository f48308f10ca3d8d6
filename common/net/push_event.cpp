// SPDX-License-Identifier: MIT
// Reading the payloads of the forges.
#include "common/net/push_event.h"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json.h"
#include "common/net/form.h"
#include "common/text.h"

namespace baton::net {

namespace {

constexpr std::size_t max_changes = 100;

/// The object at `name`, or null: payloads differ in what they leave out.
const json::Value* object_at(const json::Value& value, std::string_view name) {
    if (!value.is_object()) return nullptr;
    const auto found = value.find(name);
    return found != value.end() && found->is_object() ? &*found : nullptr;
}

std::string text_at(const json::Value* value, std::string_view name) {
    if (value == nullptr || !value->is_object()) return {};
    const auto found = value->find(name);
    return found != value->end() && found->is_string() ? found->get<std::string>() : std::string();
}

void add_url(PushEvent& event, std::string url) {
    if (url.empty() || std::ranges::find(event.repository_urls, url) != event.repository_urls.end()) return;
    event.repository_urls.push_back(std::move(url));
}

void add_urls(PushEvent& event, const json::Value* owner, std::initializer_list<std::string_view> names) {
    for (const std::string_view name : names) add_url(event, text_at(owner, name));
}

CommitId commit_or_none(const std::string& text) {
    const bool zeros = text.find_first_not_of('0') == std::string::npos;
    return !zeros && is_commit_id(text) ? CommitId(text) : CommitId();
}

/// `refs/heads/main`; Error(invalid) for what is neither a branch nor a tag.
RefChange change_of(const std::string& ref, const std::string& after, bool deleted) {
    constexpr std::string_view heads = "refs/heads/";
    constexpr std::string_view tags = "refs/tags/";
    RefChange change;
    if (ref.starts_with(heads)) {
        change.name = ref.substr(heads.size());
    } else if (ref.starts_with(tags)) {
        change.kind = RefKind::tag;
        change.name = ref.substr(tags.size());
    }
    if (change.name.empty())
        throw Error(ErrorKind::invalid, fmt::format("'ref' is '{}', neither a branch nor a tag", escape_control(ref)));
    change.commit = commit_or_none(after);
    change.deleted = deleted || (!after.empty() && after.find_first_not_of('0') == std::string::npos);
    if (change.deleted) change.commit = CommitId();
    return change;
}

void read_github(PushEvent& event, const json::Value& payload) {
    const json::Value* repository = object_at(payload, "repository");
    add_urls(event, repository, {"clone_url", "ssh_url", "git_url", "html_url"});
    event.pusher = text_at(object_at(payload, "pusher"), "name");
    if (event.pusher.empty()) event.pusher = text_at(object_at(payload, "pusher"), "login");
    if (event.pusher.empty()) event.pusher = text_at(object_at(payload, "sender"), "login");
    if (!event.is_push) return;
    event.changes.push_back(
        change_of(json::text(payload, "ref"), text_at(&payload, "after"), json::flag_or(payload, "deleted", false)));
}

void read_gitlab(PushEvent& event, const json::Value& payload) {
    // System hooks of a whole GitLab name the event in the payload only.
    const std::string kind = text_at(&payload, "object_kind");
    if (event.event == "System Hook") event.is_push = kind == "push" || kind == "tag_push";
    add_urls(event, object_at(payload, "project"), {"git_http_url", "git_ssh_url", "web_url", "http_url", "ssh_url"});
    add_urls(event, object_at(payload, "repository"), {"git_http_url", "git_ssh_url", "homepage", "url"});
    event.pusher = text_at(&payload, "user_username");
    if (event.pusher.empty()) event.pusher = text_at(&payload, "user_name");
    if (!event.is_push) return;
    RefChange change = change_of(json::text(payload, "ref"), text_at(&payload, "after"), false);
    // For an annotated tag `after` is the tag's own id; checkout_sha is the commit.
    const CommitId checkout = commit_or_none(text_at(&payload, "checkout_sha"));
    if (!change.deleted && !checkout.empty()) change.commit = checkout;
    event.changes.push_back(std::move(change));
}

RefChange bitbucket_change(const json::Value& entry) {
    const json::Value* now = object_at(entry, "new");
    const json::Value* before = object_at(entry, "old");
    const json::Value* named = now != nullptr ? now : before;
    if (named == nullptr) throw Error(ErrorKind::invalid, "a change of 'push.changes' has neither 'new' nor 'old'");
    RefChange change;
    change.kind = text_at(named, "type") == "tag" ? RefKind::tag : RefKind::branch;
    change.name = json::text(*named, "name");
    change.deleted = now == nullptr;
    if (now != nullptr) change.commit = commit_or_none(text_at(object_at(*now, "target"), "hash"));
    return change;
}

void read_bitbucket(PushEvent& event, const json::Value& payload) {
    if (const json::Value* repository = object_at(payload, "repository")) {
        if (const json::Value* links = object_at(*repository, "links")) {
            add_urls(event, object_at(*links, "html"), {"href"});
        }
        const std::string name = text_at(repository, "full_name");
        if (!name.empty()) add_url(event, fmt::format("https://bitbucket.org/{}", name));
    }
    event.pusher = text_at(object_at(payload, "actor"), "nickname");
    if (event.pusher.empty()) event.pusher = text_at(object_at(payload, "actor"), "display_name");
    if (!event.is_push) return;
    const json::Value& changes = json::member(json::member(payload, "push"), "changes");
    if (!changes.is_array()) throw Error(ErrorKind::invalid, "'push.changes' must be a list");
    if (changes.size() > max_changes)
        throw Error(ErrorKind::too_large, fmt::format("more than {} changes", max_changes));
    for (const json::Value& entry : changes) event.changes.push_back(bitbucket_change(entry));
}

json::Value payload_of(const HeaderList& headers, std::string_view body) {
    const std::string type = lower(headers.get("Content-Type"));
    if (type.starts_with("application/x-www-form-urlencoded")) {
        for (const auto& [name, value] : parse_form(type, body)) {
            if (name == "payload") return json::parse(value);
        }
        throw Error(ErrorKind::invalid, "the form has no 'payload'");
    }
    return json::parse(body);
}

/// Which forge it is, its event's name and delivery. Gitea sends GitHub's headers too, so it is asked first.
PushEvent identify(const HeaderList& headers) {
    PushEvent event;
    const auto first = [&](std::initializer_list<std::string_view> names) {
        for (const std::string_view name : names) {
            if (const auto value = headers.find(name); value && !value->empty()) return std::string(*value);
        }
        return std::string();
    };
    if (event.event = first({"X-Forgejo-Event", "X-Gitea-Event", "X-Gogs-Event"}); !event.event.empty()) {
        event.forge = Forge::gitea;
        event.delivery_id = first({"X-Forgejo-Delivery", "X-Gitea-Delivery", "X-Gogs-Delivery"});
        event.is_push = event.event == "push";
    } else if (event.event = first({"X-GitHub-Event"}); !event.event.empty()) {
        event.forge = Forge::github;
        event.delivery_id = first({"X-GitHub-Delivery"});
        event.is_ping = event.event == "ping";
        event.is_push = event.event == "push";
    } else if (event.event = first({"X-Gitlab-Event"}); !event.event.empty()) {
        event.forge = Forge::gitlab;
        event.delivery_id = first({"webhook-id", "Idempotency-Key", "X-Gitlab-Event-UUID"});
        event.is_push = event.event == "Push Hook" || event.event == "Tag Push Hook";
    } else if (event.event = first({"X-Event-Key"}); !event.event.empty()) {
        event.forge = Forge::bitbucket;
        event.delivery_id = first({"X-Request-UUID"});
        event.is_ping = event.event == "diagnostics:ping";
        event.is_push = event.event == "repo:push";
    } else {
        event.delivery_id = first({"webhook-id"});
    }
    return event;
}

}  // namespace

std::string_view to_text(Forge forge) {
    switch (forge) {
        case Forge::github: return "GitHub";
        case Forge::gitlab: return "GitLab";
        case Forge::gitea: return "Gitea";
        case Forge::bitbucket: return "Bitbucket";
        case Forge::unknown: return "webhook";
    }
    return "webhook";
}

PushEvent parse_push_event(const HeaderList& headers, std::string_view body) {
    PushEvent event = identify(headers);
    if (event.forge == Forge::unknown) return event;
    return with_context(fmt::format("{} payload", to_text(event.forge)), [&] {
        const json::Value payload = payload_of(headers, body);
        if (!payload.is_object()) throw Error(ErrorKind::invalid, "it must be an object");
        switch (event.forge) {
            case Forge::github:
            case Forge::gitea: read_github(event, payload); break;
            case Forge::gitlab: read_gitlab(event, payload); break;
            case Forge::bitbucket: read_bitbucket(event, payload); break;
            case Forge::unknown: break;
        }
        return event;
    });
}

std::string normalised_repository(std::string_view url) {
    std::string_view rest = trim(url);
    if (const std::size_t scheme = rest.find("://"); scheme != std::string_view::npos) {
        const std::string name = lower(rest.substr(0, scheme));
        rest.remove_prefix(scheme + 3);
        if (name == "file") return std::string(rest);
        std::string_view host = rest.substr(0, rest.find('/'));
        std::string_view path = rest.substr(host.size());
        if (const std::size_t at = host.rfind('@'); at != std::string_view::npos) host.remove_prefix(at + 1);
        const std::string_view usual = name == "https"  ? ":443"
                                       : name == "http" ? ":80"
                                       : name == "ssh"  ? ":22"
                                                        : ":9418";
        if (host.ends_with(usual)) host.remove_suffix(usual.size());
        while (path.starts_with('/')) path.remove_prefix(1);
        while (path.ends_with('/')) path.remove_suffix(1);
        if (path.ends_with(".git")) path.remove_suffix(4);
        return lower(host) + "/" + std::string(path);
    }
    const std::size_t colon = rest.find(':');
    if (colon == std::string_view::npos || rest.find('/') < colon) return std::string(rest);
    return normalised_repository(fmt::format("ssh://{}/{}", rest.substr(0, colon), rest.substr(colon + 1)));
}

bool names_repository(const PushEvent& event, std::string_view configured_url) {
    const std::string wanted = normalised_repository(configured_url);
    return std::ranges::any_of(event.repository_urls,
                               [&](const std::string& url) { return normalised_repository(url) == wanted; });
}

}  // namespace baton::net
