// SPDX-License-Identifier: MIT
// Listening sockets as things that are opened, named, and passed from process to process.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <sys/types.h>

#include "common/file.h"

namespace baton::process {

/// Opens a listening socket on `host:port` (a numeric host; port 0: any free one) or on the absolute path of a Unix
/// socket, which everybody may connect to; a socket file that nobody listens on is replaced. Error(invalid) for any
/// other text, Error(conflict) when something else listens there.
[[nodiscard]] Fd listen_on(const std::string& where);

/// Where a listening socket listens, as listen_on() takes it; empty for anything that is none.
[[nodiscard]] std::string listening_where(int fd);
/// The port of such a text; 0 for a path.
[[nodiscard]] std::uint16_t port_of(std::string_view where);

/// Two texts of the same address: `[0::1]:80` and `[::1]:80`.
[[nodiscard]] bool same_address(const std::string& one, const std::string& other);

/// The listening socket on `where` that another process has open: a copy of its descriptor (pidfd_getfd(2)). Without a
/// descriptor when it has none, or when the kernel does not let this process look.
[[nodiscard]] Fd take_listener(pid_t pid, const std::string& where);

/// A message of at most some KiB over a SOCK_SEQPACKET socket, with a descriptor unless `fd` is negative. Error(io).
void send_message(int socket, std::string_view text, int fd = -1);
struct ReceivedMessage {
    std::string text;  ///< empty: the other end is gone
    Fd fd;
};
[[nodiscard]] ReceivedMessage receive_message(int socket);

}  // namespace baton::process
