// SPDX-License-Identifier: MIT
// A map of the file, read key by key.
#include "common/config/fields.h"

#include <algorithm>
#include <array>

#include "common/config/expand.h"
#include "common/text.h"

namespace baton::config {
namespace {

std::string kind_of(const yaml::Value& value) {
    switch (value.kind) {
        case yaml::Kind::sequence: return "a list";
        case yaml::Kind::map: return "a map";
        case yaml::Kind::null: return "nothing";
        case yaml::Kind::scalar: return fmt::format("'{}'", shown(value.text));
        case yaml::Kind::broken: break;
    }
    return "something else";
}

/// A key under which people write a secret itself, where we take a file only.
bool names_a_secret(std::string_view key) {
    static constexpr std::array words{"password",    "passwd",      "token",   "secret",
                                      "cluster_key", "private_key", "ssh_key", "webhook_secret",
                                      "tokens",      "passphrase",  "api_key"};
    return std::ranges::find(words, lower(key)) != words.end();
}

bool has_control(std::string_view text) {
    return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

}  // namespace

std::string shown(std::string_view text) { return escape_control(first_line(text, 80)); }

std::optional<Address> parse_address(std::string_view text) {
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) return std::nullopt;
    std::string_view host = text.substr(0, colon);
    const auto port = parse_whole(text.substr(colon + 1));
    if (!port || *port == 0 || *port > 65535) return std::nullopt;
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
        host = host.substr(1, host.size() - 2);
        if (host.find_first_not_of("0123456789abcdefABCDEF:.") != std::string_view::npos) return std::nullopt;
    } else if (host.find(':') != std::string_view::npos) {
        return std::nullopt;  // an IPv6 address without brackets: where would the port begin?
    }
    const bool host_is_fine = !host.empty() && std::ranges::all_of(host, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               std::string_view(".-_:${}").find(c) != std::string_view::npos;
    });
    if (!host_is_fine) return std::nullopt;
    return Address{std::string(host), static_cast<std::uint16_t>(*port)};
}

Fields::Fields(const yaml::Value& map, std::string what, yaml::Position at, yaml::Report& report)
    : map_(map), what_(std::move(what)), at_(at), report_(report) {
    if (map.kind != yaml::Kind::map && map.kind != yaml::Kind::broken) {
        report_.fault(map.kind == yaml::Kind::null ? at : map.at,
                      fmt::format("{} must be a map of keys and values, got {}", what_, kind_of(map)));
    }
}

const yaml::Entry* Fields::entry(std::string_view key) {
    known_.emplace_back(key);
    const auto found = std::ranges::find(map_.entries, key, &yaml::Entry::key);
    return found == map_.entries.end() ? nullptr : &*found;
}

const yaml::Value* Fields::value(std::string_view key) {
    const auto* found = entry(key);
    if (found == nullptr || found->value.kind == yaml::Kind::broken) return nullptr;
    if (found->value.kind == yaml::Kind::null) {
        report_.fault(found->at, fmt::format("'{}' has no value (leave the key out for its default)", key));
        return nullptr;
    }
    return &found->value;
}

bool Fields::has(std::string_view key) const {
    return std::ranges::find(map_.entries, key, &yaml::Entry::key) != map_.entries.end();
}

yaml::Position Fields::where(std::string_view key) const {
    const auto found = std::ranges::find(map_.entries, key, &yaml::Entry::key);
    if (found == map_.entries.end()) return at_;
    return found->value.kind == yaml::Kind::scalar ? found->value.at : found->at;
}

void Fields::require(std::string_view key, std::string_view expected) {
    if (map_.kind == yaml::Kind::map && !has(key)) {
        report_.fault(at_, fmt::format("{} has no '{}', expected {}", what_, key, expected));
    }
}

const yaml::Value* Fields::scalar(std::string_view key, std::string_view expected) {
    const auto* found = value(key);
    if (found == nullptr) return nullptr;
    if (found->kind != yaml::Kind::scalar) {
        report_.fault(where(key), fmt::format("'{}' must be {}, got {}", key, expected, kind_of(*found)));
        return nullptr;
    }
    return found;
}

std::optional<std::string> Fields::line_of(std::string_view key, const yaml::Value& item, bool several_lines) {
    if (item.kind == yaml::Kind::broken) return std::nullopt;
    if (item.kind != yaml::Kind::scalar) {
        report_.fault(item.at, fmt::format("'{}' must be a string, got {}", key, kind_of(item)));
        return std::nullopt;
    }
    if (trim(item.text).empty()) {
        report_.fault(item.at, fmt::format("'{}' is empty", key));
        return std::nullopt;
    }
    if (!several_lines && has_control(item.text)) {
        report_.fault(item.at,
                      fmt::format("'{}' must be one line without control characters, got '{}'", key, shown(item.text)));
        return std::nullopt;
    }
    return item.text;
}

void Fields::line(std::string_view key, std::string& target) {
    const auto* found = scalar(key, "a string");
    if (found == nullptr) return;
    if (auto text = line_of(key, *found, false)) target = std::move(*text);
}

void Fields::block(std::string_view key, std::string& target) {
    const auto* found = scalar(key, "a string");
    if (found == nullptr) return;
    if (auto text = line_of(key, *found, true)) target = std::move(*text);
}

void Fields::lines(std::string_view key, std::vector<std::string>& target) {
    const auto* found = value(key);
    if (found == nullptr) return;
    if (found->kind == yaml::Kind::map) {
        report_.fault(where(key), fmt::format("'{}' must be a string or a list of strings, got a map", key));
        return;
    }
    target.clear();
    if (found->kind == yaml::Kind::scalar) {
        if (auto text = line_of(key, *found, false)) target.push_back(std::move(*text));
        return;
    }
    for (const auto& item : found->items) {
        if (auto text = line_of(key, item, false)) target.push_back(std::move(*text));
    }
}

void Fields::path(std::string_view key, std::filesystem::path& target) {
    std::string text;
    line(key, text);
    if (text.empty()) return;
    if (text.front() != '/') {
        report_.fault(where(key), fmt::format("'{}' must be an absolute path, got '{}'", key, shown(text)));
        return;
    }
    target = text;
}

void Fields::path(std::string_view key, std::optional<std::filesystem::path>& target) {
    std::filesystem::path found;
    path(key, found);
    if (!found.empty()) target = found;
}

void Fields::inner_path(std::string_view key, std::string& target) {
    std::string text;
    line(key, text);
    if (text.empty()) return;
    const auto parts = split(text, '/');
    if (text.front() == '/' || std::ranges::find(parts, "..") != parts.end()) {
        report_.fault(where(key), fmt::format("'{}' must be a relative path without '..', got '{}'", key, shown(text)));
        return;
    }
    target = text;
}

void Fields::flag(std::string_view key, bool& target) {
    const auto* found = scalar(key, "true or false");
    if (found == nullptr) return;
    if (!found->quoted && (found->text == "true" || found->text == "false")) {
        target = found->text == "true";
        return;
    }
    const std::string word = lower(found->text);
    const bool yes = word == "yes" || word == "on" || word == "y" || word == "true" || word == "1";
    const bool no = word == "no" || word == "off" || word == "n" || word == "false" || word == "0";
    report_.fault(found->at, fmt::format("'{}': '{}' is not true or false{}", key, shown(found->text),
                                         yes  ? " (write true)"
                                         : no ? " (write false)"
                                              : ""));
}

void Fields::duration(std::string_view key, Milliseconds& target, Milliseconds least) {
    const auto* found = scalar(key, "a duration");
    if (found == nullptr) return;
    const auto duration = parse_duration(found->text);
    if (!duration) {
        report_.fault(found->at,
                      fmt::format("'{}': '{}' is not a duration (write 10m, 90s, 1h30m)", key, shown(found->text)));
    } else if (*duration < least) {
        report_.fault(found->at,
                      fmt::format("'{}' must be {} or more, got '{}'", key, to_text(least), shown(found->text)));
    } else {
        target = *duration;
    }
}

void Fields::size(std::string_view key, std::uint64_t& target, std::uint64_t least) {
    const auto* found = scalar(key, "a size");
    if (found == nullptr) return;
    const auto size = parse_size(found->text);
    if (!size) {
        report_.fault(found->at,
                      fmt::format("'{}': '{}' is not a size (write 64MiB, 512KiB)", key, shown(found->text)));
    } else if (*size < least) {
        report_.fault(found->at,
                      fmt::format("'{}' must be {} bytes or more, got '{}'", key, least, shown(found->text)));
    } else {
        target = *size;
    }
}

void Fields::share(std::string_view key, Share& target, unsigned least) {
    const auto* found = scalar(key, "a whole number of nodes or a share");
    if (found == nullptr) return;
    std::string_view text = found->text;
    const bool percent = text.ends_with('%');
    if (percent) text.remove_suffix(1);
    const auto number = parse_whole(text);
    const std::uint64_t most = percent ? 100 : 10'000;
    const unsigned at_least = percent ? 1 : least;
    if (!number || *number < at_least || *number > most) {
        report_.fault(found->at,
                      fmt::format("'{}' must be a whole number of {} or more or a share such as 25%, got '{}'", key,
                                  least, shown(found->text)));
        return;
    }
    target = Share{static_cast<unsigned>(*number), percent};
}

void Fields::address(std::string_view key, std::optional<Address>& target) {
    const auto* found = scalar(key, "host:port");
    if (found == nullptr) return;
    if (auto address = parse_address(found->text)) {
        target = std::move(address);
    } else {
        report_.fault(found->at,
                      fmt::format("'{}': '{}' is not host:port (write \"10.0.0.11:7070\", \"[fd00::1]:7070\")", key,
                                  shown(found->text)));
    }
}

std::optional<std::uint64_t> Fields::whole_value(std::string_view key, std::uint64_t least, std::uint64_t most) {
    const auto* found = scalar(key, "a whole number");
    if (found == nullptr) return std::nullopt;
    const auto number = found->quoted ? std::nullopt : parse_whole(found->text);
    if (number && *number >= least && *number <= most) return number;
    const auto range = most >= std::numeric_limits<std::uint32_t>::max() ? fmt::format("{} or more", least)
                                                                         : fmt::format("{} to {}", least, most);
    report_.fault(found->at,
                  fmt::format("'{}' must be a whole number of {}, got '{}'", key, range, shown(found->text)));
    return std::nullopt;
}

void Fields::refuse_choice(std::string_view key, const yaml::Value& found, const std::vector<std::string>& known) {
    std::string hint;
    if (found.kind == yaml::Kind::scalar) {
        if (const auto near = nearest(found.text, known)) hint = fmt::format(" (did you mean '{}'?)", *near);
    }
    report_.fault(where(key),
                  fmt::format("'{}' must be one of {}, got {}{}", key, join(known, ", "), kind_of(found), hint));
}

void Fields::each(std::string_view key, std::size_t most,
                  const std::function<void(const yaml::Value&, std::size_t)>& read) {
    const auto* found = value(key);
    if (found == nullptr) return;
    if (found->kind != yaml::Kind::sequence) {
        report_.fault(where(key),
                      fmt::format("'{}' must be a list, got {} (each item begins with '- ')", key, kind_of(*found)));
        return;
    }
    if (found->items.size() > most) {
        report_.fault(where(key),
                      fmt::format("'{}' has {} items, at most {} are allowed", key, found->items.size(), most));
        return;
    }
    std::size_t number = 0;
    for (const auto& item : found->items) {
        ++number;
        if (item.kind != yaml::Kind::broken) read(item, number);
    }
}

void Fields::check_variables(std::string_view key, std::string_view text, const std::vector<std::string>& known) {
    for (const auto& name : variables_in(text)) {
        if (std::ranges::find(known, name) != known.end()) continue;
        if (known.empty()) {
            report_.fault(where(key), fmt::format("'{}' has no variables, got '${{{}}}'", key, shown(name)));
            continue;
        }
        const auto near = nearest(name, known);
        report_.fault(where(key),
                      fmt::format("'{}': unknown variable '${{{}}}', expected one of {}{}", key, shown(name),
                                  join(known, ", "), near ? fmt::format(" (did you mean '{}'?)", *near) : ""));
    }
}

void Fields::finish() {
    for (const auto& entry : map_.entries) {
        if (std::ranges::find(known_, entry.key) != known_.end()) continue;
        const auto with_file = [&](std::string_view suffix) {
            const auto candidate = fmt::format("{}{}", entry.key, suffix);
            return std::ranges::find(known_, candidate) != known_.end() ? candidate : std::string();
        };
        auto file_key = with_file("_file");
        if (names_a_secret(entry.key)) {
            report_.fault(
                entry.at,
                fmt::format("unknown key '{}' in {}: a secret never stands in this file{}", shown(entry.key), what_,
                            file_key.empty() ? " (only keys that end in '_file' name one)"
                                             : fmt::format(", write it to a file and name that in '{}'", file_key)));
            continue;
        }
        const auto near = nearest(entry.key, known_);
        report_.fault(entry.at, fmt::format("unknown key '{}' in {} ({})", shown(entry.key), what_,
                                            near ? fmt::format("did you mean '{}'?", *near)
                                                 : fmt::format("known: {}", join(known_, ", "))));
    }
}

}  // namespace baton::config
