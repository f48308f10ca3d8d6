// SPDX-License-Identifier: MIT
// Failure: the one exception of the program, with a kind from a closed list and a trail of context.
#pragma once

#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace baton {

/// What went wrong, as a caller can act on it. The names are a contract: `/api/v1` errors carry them.
enum class ErrorKind {
    invalid,       ///< the input is at fault: a malformed request, a bad configuration
    not_found,     ///< no such app, build, node, file
    unauthorized,  ///< no credentials, or wrong ones
    forbidden,     ///< known, but may not
    conflict,      ///< the state does not allow it: frozen, held, already so
    too_large,     ///< a limit on size or number was reached
    busy,          ///< a limit on concurrency was reached; trying again may help
    timeout,       ///< a deadline passed
    cancelled,     ///< someone asked to stop
    unreachable,   ///< a peer, a git host or a service did not answer
    step_failed,   ///< a user's step, test suite or health check said no
    io,            ///< the operating system refused: disk full, permission denied
    corrupt,       ///< stored state cannot be trusted
    internal,      ///< a fault of this program
};

[[nodiscard]] std::string_view to_text(ErrorKind kind);
/// Throws Error(invalid) for a text that names no kind.
[[nodiscard]] ErrorKind parse_error_kind(std::string_view text);

/// `what()` is the whole trail, outermost context first: `fetch app "shop": connect to example.org: refused`.
/// It never holds a secret: credentials in URLs are masked where the message is formed (see mask_url).
class Error : public std::exception {
  public:
    Error(ErrorKind kind, std::string message) : kind_(kind), text_(std::move(message)) {}

    [[nodiscard]] ErrorKind kind() const noexcept { return kind_; }
    [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }
    [[nodiscard]] const std::string& text() const noexcept { return text_; }

    /// Puts what the caller knows in front; for `catch (Error& e) { e.add_context(…); throw; }`.
    void add_context(std::string_view context);

  private:
    ErrorKind kind_;
    std::string text_;
};

/// Runs `work`; an Error that leaves it gets `context` in front.
template <class Work>
auto with_context(std::string_view context, Work&& work) -> decltype(work()) {
    try {
        return std::forward<Work>(work)();
    } catch (Error& error) {
        error.add_context(context);
        throw;
    }
}

/// An Error(io) from `errno_value`, or `timeout`/`not_found`/… where errno says so: `open /x: No such file`.
[[nodiscard]] Error system_error(std::string_view what_was_tried, int errno_value);

}  // namespace baton
