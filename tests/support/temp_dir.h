// SPDX-License-Identifier: MIT
// A directory of its own for each test: removed when the test passes, kept and named when it fails.
#pragma once

#include <filesystem>
#include <string_view>

namespace baton::test {

class TempDir {
  public:
    TempDir();
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    ~TempDir();
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    [[nodiscard]] std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
    /// Writes a file below the directory, making its folders; returns its path.
    std::filesystem::path write(std::string_view name, std::string_view content, unsigned mode = 0644) const;

  private:
    std::filesystem::path path_;
};

}  // namespace baton::test
