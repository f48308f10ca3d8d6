// SPDX-License-Identifier: MIT
// The tables, as numbered steps from an empty file to today's.
#pragma once

#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "agent/store/database.h"

namespace baton::store {

/// The statements that lead from one version to the next. A migration that was ever released is never edited.
using Migration = std::vector<std::string_view>;

/// `migrations()[n]` leads from version n to n + 1; PRAGMA user_version holds the version of a file.
[[nodiscard]] std::span<const Migration> migrations();

/// Applies what is missing, each step as one transaction. Error(conflict) for a file that a newer program
/// made or that is another program's.
void bring_up_to_date(Connection& connection, const std::filesystem::path& file);

}  // namespace baton::store
