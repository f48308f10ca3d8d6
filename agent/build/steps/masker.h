// SPDX-License-Identifier: MIT
// Secrets out of a stream of output, also where a secret is cut in two by the border of a chunk.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace baton::build {

/// Replaces each secret by `****`. What might be the beginning of one is held back until the next chunk decides.
/// One thread.
class Masker {
  public:
    /// A secret shorter than this would turn a log into stars and protects nothing.
    static constexpr std::size_t least_secret = 4;

    /// Of a secret of several lines (a key) each line is one, since a log shows it line by line. Percent-encoded
    /// forms, as in a URL, are masked as well.
    explicit Masker(const std::vector<std::string>& secrets);

    /// What of the stream so far can be shown and has not been returned yet.
    [[nodiscard]] std::string feed(std::string_view chunk);
    /// The rest, at the stream's end.
    [[nodiscard]] std::string flush();

  private:
    enum class More { expected, none };
    std::string scan(More more);
    void add(std::string_view secret);

    std::vector<std::string> secrets_;
    std::array<bool, 256> first_{};  ///< bytes that begin a secret
    std::string pending_;
    std::size_t covered_ = 0;  ///< so many bytes at the front of pending_ belong to a secret already shown as stars
};

}  // namespace baton::build
