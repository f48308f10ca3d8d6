// SPDX-License-Identifier: MIT
// A process by descriptor: pidfd_open(2) and pidfd_send_signal(2), straight from the kernel.
#pragma once

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "common/file.h"

namespace baton::process {

// glibc 2.36 declares both in <sys/pidfd.h> without `extern "C"`, so that C++ programs do not link.

/// Without a descriptor when there is no such process. Closed on exec.
[[nodiscard]] inline Fd open_pidfd(pid_t pid) noexcept {
    return Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

/// False when the process has ended or may not be signalled by this one.
inline bool send_signal(const Fd& pidfd, int signal) noexcept {
    return ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) == 0;
}

}  // namespace baton::process
