// SPDX-License-Identifier: MIT
// The log of one build: the steps' output as it comes, masked and capped, between baton's own marker lines.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "agent/build/steps/masker.h"
#include "common/file.h"

namespace baton::build {

/// Appends to a file that others may be reading. One thread.
///
/// A log that cannot be written (disk full) does not decide what becomes of a build, least of all of a switch that
/// has begun: after construction nothing throws; the daemon's log says once what was lost.
class BuildLog {
  public:
    /// Error(io) when the file cannot be opened. `most_bytes` counts what the file holds already.
    BuildLog(const std::filesystem::path& file, std::uint64_t most_bytes, const std::vector<std::string>& secrets);

    /// Output of a step, raw bytes. Beyond the cap it is dropped, and the log says so.
    void output(std::string_view bytes);
    /// To be called when a step has ended: shows what was held back as the possible beginning of a secret.
    void end_output();
    /// A line of baton's own: `[baton] stage test`. Control characters are escaped. Shown beyond the cap, too.
    void line(std::string_view text);

  private:
    void append(std::string_view bytes);
    void write(std::string_view bytes);

    std::filesystem::path file_;
    Fd fd_;
    Masker masker_;
    std::vector<std::string> secrets_;
    std::uint64_t most_bytes_;
    std::uint64_t written_ = 0;
    bool cut_ = false;
    bool at_line_start_ = true;
    bool lost_ = false;
};

}  // namespace baton::build
