// SPDX-License-Identifier: MIT
// The secrets of the apps' triggers, read anew for every request; a file that cannot be read is told to the log alone.
#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace baton::http {

/// Any thread.
class SecretFiles {
  public:
    /// The secret in that file. Nothing when it is missing, empty or open to others: the log then tells the file and
    /// the reason, again only when that changes, and once more when the file is good again. Strangers ask for these
    /// files as often as they like, and must neither fill the log nor learn where they are.
    [[nodiscard]] std::optional<std::string> read(const std::filesystem::path& file);

  private:
    std::mutex mutex_;
    std::map<std::filesystem::path, std::string> faults_;  ///< as they were told last; at most one a configured file
};

}  // namespace baton::http
