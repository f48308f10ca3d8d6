// SPDX-License-Identifier: MIT
// `${NAME}` in the few values that have variables.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace baton::config {

/// Values by name, without `${}`.
using Variables = std::map<std::string, std::string, std::less<>>;

/// `text` with every `${NAME}` of `variables` replaced, once (a value is not expanded again). A name that is
/// not among them stays as it stands.
[[nodiscard]] std::string expand(std::string_view text, const Variables& variables);

/// The names that `text` uses, in order; a `${` without `}` counts as the name "".
[[nodiscard]] std::vector<std::string> variables_in(std::string_view text);

}  // namespace baton::config
