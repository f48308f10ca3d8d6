// SPDX-License-Identifier: MIT
// The file that tells a web server on which port the app is.
#include "agent/build/strategy/upstream.h"

#include <arpa/inet.h>

#include "common/error.h"
#include "common/file.h"

namespace baton::build {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t most_bytes = 256UL * 1024;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Where `port` stands as a number of its own.
std::size_t find_port(std::string_view text, unsigned port) {
    const auto number = std::to_string(port);
    for (auto at = text.find(number); at != std::string_view::npos; at = text.find(number, at + 1)) {
        const auto end = at + number.size();
        const bool whole = (at == 0 || !is_digit(text[at - 1])) && (end == text.size() || !is_digit(text[end]));
        if (whole) return at;
    }
    return std::string_view::npos;
}

std::string read_or_empty(const fs::path& file) { return fs::exists(file) ? read_file(file, most_bytes) : ""; }

}  // namespace

bool names_port(std::string_view text, unsigned port) { return find_port(text, port) != std::string_view::npos; }

std::string host_before(std::string_view text, unsigned port) {
    const auto at = find_port(text, port);
    if (at == std::string_view::npos || at == 0 || text[at - 1] != ':') return {};
    const auto end = at - 1;
    auto begin = end;
    while (begin > 0 && (is_digit(text[begin - 1]) || text[begin - 1] == '.')) --begin;
    const std::string host(text.substr(begin, end - begin));
    in_addr address{};
    return ::inet_pton(AF_INET, host.c_str(), &address) == 1 ? host : std::string();
}

Upstream::Upstream(fs::path file, fs::path told) : file_(std::move(file)), told_(std::move(told)) {}

std::string Upstream::text() const { return read_or_empty(file_); }

bool Upstream::is_told(const std::string& text) const { return this->text() == text && read_or_empty(told_) == text; }

void Upstream::write(const std::string& text) const {
    fs::create_directories(file_.parent_path());
    write_file_atomically(file_, text);
}

void Upstream::note_told(const std::string& text) const { write_file_atomically(told_, text); }

void Upstream::take_back() const {
    const auto before = read_or_empty(told_);
    if (!before.empty()) {
        write(before);
        return;
    }
    std::error_code failed;
    fs::remove(file_, failed);
    if (failed) throw system_error("remove " + file_.string(), failed.value());
}

}  // namespace baton::build
