// SPDX-License-Identifier: MIT
// What is wrong with a configuration file, and where: all faults of a file make one report.
#pragma once

#include <string>
#include <vector>

#include "common/error.h"

namespace baton::config {

/// One fault, or one warning. Lines and columns count from 1; 0 where there is none (the file cannot be
/// read).
struct Fault {
    std::string file;
    unsigned line = 0;
    unsigned column = 0;
    std::string message;
    /// `agent.yaml:5:3: unknown key 'prot' in 'listen' (did you mean 'port'?)`
    [[nodiscard]] std::string text() const;
    bool operator==(const Fault&) const = default;
};

/// Error(invalid) whose text is the whole report, one fault a line, in the order of the file.
class ConfigError : public Error {
  public:
    explicit ConfigError(std::vector<Fault> faults);
    [[nodiscard]] const std::vector<Fault>& faults() const noexcept { return faults_; }

  private:
    std::vector<Fault> faults_;
};

}  // namespace baton::config
