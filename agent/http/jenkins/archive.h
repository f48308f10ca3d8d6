// SPDX-License-Identifier: MIT
// Files as one ZIP archive that is sent while it is made. Poco's Zip is seen here only.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "agent/http/server/message.h"

namespace baton::http {

struct ArchiveEntry {
    std::string name;  ///< within the archive, with `/`
    std::filesystem::path file;
};

/// Writes the archive piece by piece: what it takes of memory does not depend on the files. False when the client is
/// gone, or a file cannot be read any more: then the archive is broken off, which the client can tell.
[[nodiscard]] bool write_zip(Writer& writer, const std::vector<ArchiveEntry>& entries);

}  // namespace baton::http
