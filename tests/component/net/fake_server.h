// SPDX-License-Identifier: MIT
// A server that says what a test tells it to say, across a real socket: good, slow, endless, silent.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

#include "common/file.h"

namespace baton::test {

/// One accepted connection, in the server's thread.
class FakePeer {
  public:
    FakePeer(Fd fd, std::stop_token stop) : fd_(std::move(fd)), stop_(std::move(stop)) {}
    /// The next request's head, and the body that its Content-Length announces; empty when the client has left.
    std::string read_request();
    /// False once the client is gone.
    bool send(std::string_view bytes);
    /// Waits until the client has gone or the test ends.
    void hold();
    /// Waits that long, or until the test ends.
    void pause(std::chrono::milliseconds duration);

  private:
    Fd fd_;
    std::stop_token stop_;
    std::string buffer_;
};

class FakeServer {
  public:
    /// `serve` runs for each connection, one after the other.
    explicit FakeServer(std::function<void(FakePeer&)> serve);
    [[nodiscard]] std::string url(std::string_view target = "/") const;

  private:
    Fd listener_;
    std::uint16_t port_ = 0;
    std::jthread thread_;
};

}  // namespace baton::test
