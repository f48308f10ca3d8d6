// SPDX-License-Identifier: MIT
// The file that tells a web server on which port the app is.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace baton::build {

/// Whether `text` names `port` as a number of its own: `server 127.0.0.1:9001;` names 9001, and not 900.
[[nodiscard]] bool names_port(std::string_view text, unsigned port);

/// The IPv4 address before `:port` in `text`; empty for anything else.
[[nodiscard]] std::string host_before(std::string_view text, unsigned port);

/// The file, and beside it what the web server was last told for good. One thread.
class Upstream {
  public:
    /// `told` is where it is noted with which text the web server was reloaded last.
    Upstream(std::filesystem::path file, std::filesystem::path told);

    /// Empty when there is none.
    [[nodiscard]] std::string text() const;
    /// The web server has read exactly this.
    [[nodiscard]] bool is_told(const std::string& text) const;
    void write(const std::string& text) const;
    void note_told(const std::string& text) const;
    /// Back to what the web server was told last, which it still goes by.
    void take_back() const;

  private:
    std::filesystem::path file_;
    std::filesystem::path told_;
};

}  // namespace baton::build
