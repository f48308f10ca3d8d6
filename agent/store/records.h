// SPDX-License-Identifier: MIT
// Values that several tables keep as JSON text: causes and parameters.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "common/wire/rollout.h"

namespace baton::store {

[[nodiscard]] std::string causes_to_text(const std::vector<wire::Cause>& causes);
/// Error(corrupt) for a text that causes_to_text did not make.
[[nodiscard]] std::vector<wire::Cause> parse_causes(const std::string& text);

/// The same parameters give the same text: keys are sorted.
[[nodiscard]] std::string parameters_to_text(const std::map<std::string, std::string>& parameters);
[[nodiscard]] std::map<std::string, std::string> parse_parameters(const std::string& text);

/// Numbers that SQLite must order: Error(invalid) beyond 63 bits.
[[nodiscard]] std::int64_t storable(std::uint64_t number);

/// Runs `parse` on stored text; its Error becomes Error(corrupt), for the request is not at fault.
template <class Parse>
auto stored(std::string_view what, Parse&& parse) -> decltype(parse()) {
    try {
        return parse();
    } catch (const Error& error) {
        throw Error(ErrorKind::corrupt, std::string(what) + " in the database cannot be read: " + error.text());
    }
}

}  // namespace baton::store
