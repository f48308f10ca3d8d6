// SPDX-License-Identifier: MIT
// Failure: names of the kinds, and the operating system's errors as ours.
#include "common/error.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>

namespace baton {
namespace {

struct KindName {
    ErrorKind kind;
    std::string_view name;
};

constexpr std::array kind_names{
    KindName{ErrorKind::invalid, "invalid"},
    KindName{ErrorKind::not_found, "not_found"},
    KindName{ErrorKind::unauthorized, "unauthorized"},
    KindName{ErrorKind::forbidden, "forbidden"},
    KindName{ErrorKind::conflict, "conflict"},
    KindName{ErrorKind::too_large, "too_large"},
    KindName{ErrorKind::busy, "busy"},
    KindName{ErrorKind::timeout, "timeout"},
    KindName{ErrorKind::cancelled, "cancelled"},
    KindName{ErrorKind::unreachable, "unreachable"},
    KindName{ErrorKind::step_failed, "step_failed"},
    KindName{ErrorKind::io, "io"},
    KindName{ErrorKind::corrupt, "corrupt"},
    KindName{ErrorKind::internal, "internal"},
};

ErrorKind kind_of(int errno_value) {
    switch (errno_value) {
        case ENOENT: return ErrorKind::not_found;
        case EACCES:
        case EPERM: return ErrorKind::forbidden;
        case ETIMEDOUT: return ErrorKind::timeout;
        case ECONNREFUSED:
        case EHOSTUNREACH:
        case ENETUNREACH: return ErrorKind::unreachable;
        default: return ErrorKind::io;
    }
}

}  // namespace

std::string_view to_text(ErrorKind kind) {
    for (const auto& entry : kind_names) {
        if (entry.kind == kind) return entry.name;
    }
    return "internal";
}

ErrorKind parse_error_kind(std::string_view text) {
    for (const auto& entry : kind_names) {
        if (entry.name == text) return entry.kind;
    }
    throw Error(ErrorKind::invalid, fmt::format("unknown error kind '{}'", text));
}

void Error::add_context(std::string_view context) { text_ = fmt::format("{}: {}", context, text_); }

Error system_error(std::string_view what_was_tried, int errno_value) {
    std::array<char, 128> buffer{};
    // The GNU form returns the text, which may not be in the buffer.
    const char* text = strerror_r(errno_value, buffer.data(), buffer.size());
    return Error(kind_of(errno_value), fmt::format("{}: {}", what_was_tried, text));
}

}  // namespace baton
