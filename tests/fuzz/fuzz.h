// SPDX-License-Identifier: MIT
// What the fuzz targets share. Anything but an Error that leaves a reader, and any expectation that fails, ends the
// process, which is what libFuzzer calls a find.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "common/error.h"

namespace baton::fuzz {

inline void expect(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "does not hold: %s\n", what);
    std::abort();
}

/// Runs `work`; an Error is an answer like any other.
template <class Work>
void refused_or(Work&& work) {
    try {
        std::forward<Work>(work)();
    } catch (const Error&) {
        return;
    }
}

/// Splits at the first line end: the line, and what follows it.
inline std::pair<std::string_view, std::string_view> first_line_of(std::string_view text) {
    const auto end = text.find('\n');
    if (end == std::string_view::npos) return {text, {}};
    return {text.substr(0, end), text.substr(end + 1)};
}

/// What a target does with one input.
void run(std::string_view input);

}  // namespace baton::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    const void* raw = bytes;
    baton::fuzz::run(size == 0 ? std::string_view() : std::string_view(static_cast<const char*>(raw), size));
    return 0;
}
