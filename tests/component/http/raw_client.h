// SPDX-License-Identifier: MIT
// A client that sends exactly the bytes it is told to: what abuse is made of.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/file.h"

namespace baton::test {

class RawClient {
  public:
    /// Connects to 127.0.0.1, from `from` (another loopback address is another client).
    explicit RawClient(std::uint16_t port, const std::string& from = "127.0.0.1");
    /// False when the server has closed or reset the connection before all was taken.
    bool send(std::string_view bytes);
    /// All that comes until the server closes or `within` has passed.
    std::string read_all(std::chrono::milliseconds within = std::chrono::seconds(20));
    /// One response: head and as much body as Content-Length says.
    std::string read_response(std::chrono::milliseconds within = std::chrono::seconds(20));
    /// Reads until `text` was seen; false when the connection ends or `within` passes first.
    bool read_until(std::string_view text, std::chrono::milliseconds within = std::chrono::seconds(20));
    [[nodiscard]] const std::string& received() const { return received_; }
    /// How many packets the kernel has sent more than once, those that ask for a connection too.
    [[nodiscard]] unsigned retransmits() const;
    void close() { fd_.reset(); }

  private:
    bool receive_some(std::chrono::steady_clock::time_point deadline);
    Fd fd_;
    std::string received_;
};

/// The status of a response; 0 when there is none.
[[nodiscard]] int status_in(std::string_view response);
/// A request on a connection of its own, answered and closed.
[[nodiscard]] std::string ask(std::uint16_t port, std::string_view request,
                              std::chrono::milliseconds within = std::chrono::seconds(20));
/// Resident memory of this process.
[[nodiscard]] std::uint64_t resident_bytes();

}  // namespace baton::test
