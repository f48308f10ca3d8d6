// SPDX-License-Identifier: MIT
// Certificates for tests, made on the spot: a CA, and what it signs.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "tests/support/temp_dir.h"

namespace baton::test {

struct Issued {
    std::filesystem::path certificate;
    std::filesystem::path key;
};

/// A self-signed CA in `dir`, and certificates for 127.0.0.1 signed by it.
class TestAuthority {
  public:
    TestAuthority(const TempDir& dir, const std::string& name);
    ~TestAuthority();
    TestAuthority(const TestAuthority&) = delete;
    TestAuthority& operator=(const TestAuthority&) = delete;
    [[nodiscard]] Issued issue(const std::string& common_name);
    [[nodiscard]] const std::filesystem::path& certificate() const { return own_.certificate; }

  private:
    struct Keys;
    const TempDir& dir_;
    std::unique_ptr<Keys> keys_;
    Issued own_;
};

}  // namespace baton::test
