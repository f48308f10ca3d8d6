// SPDX-License-Identifier: MIT
// The private wire between agent and supervisor: both are the same executable, so it needs no version.
#include "common/process/parameters.h"

#include <cstring>

#include "common/error.h"

namespace baton::process {
namespace {

class Writer {
  public:
    void number(std::uint64_t value) { bytes_.append(reinterpret_cast<const char*>(&value), sizeof value); }
    void text(std::string_view value) {
        number(value.size());
        bytes_.append(value);
    }
    void texts(const std::vector<std::string>& values) {
        number(values.size());
        for (const auto& value : values) text(value);
    }
    void optional(const std::optional<std::uint64_t>& value) {
        number(value ? 1 : 0);
        number(value.value_or(0));
    }
    [[nodiscard]] std::string take() { return std::move(bytes_); }

  private:
    std::string bytes_;
};

class Reader {
  public:
    explicit Reader(std::string_view bytes) : rest_(bytes) {}
    std::uint64_t number() {
        std::uint64_t value = 0;
        const auto bytes = cut(sizeof value);
        std::memcpy(&value, bytes.data(), sizeof value);
        return value;
    }
    std::string text() { return std::string(cut(number())); }
    std::vector<std::string> texts() {
        std::vector<std::string> values;
        for (auto left = number(); left > 0; --left) values.push_back(text());
        return values;
    }
    std::optional<std::uint64_t> optional() {
        const bool present = number() != 0;
        const auto value = number();
        return present ? std::optional(value) : std::nullopt;
    }
    Milliseconds duration() { return Milliseconds(static_cast<Milliseconds::rep>(number())); }
    void end() const {
        if (!rest_.empty())
            throw Error(ErrorKind::corrupt, "bytes left over in a message between agent and supervisor");
    }

  private:
    std::string_view cut(std::uint64_t size) {
        if (size > rest_.size()) throw Error(ErrorKind::corrupt, "a message between agent and supervisor is cut off");
        const auto part = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return part;
    }
    std::string_view rest_;
};

void write_account(Writer& to, const std::optional<Account>& account) {
    to.number(account ? 1 : 0);
    if (!account) return;
    to.number(account->uid);
    to.number(account->gid);
    to.number(account->groups.size());
    for (const auto group : account->groups) to.number(group);
    to.text(account->home);
    to.text(account->name);
}

std::optional<Account> read_account(Reader& from) {
    if (from.number() == 0) return std::nullopt;
    Account account;
    account.uid = static_cast<unsigned>(from.number());
    account.gid = static_cast<unsigned>(from.number());
    for (auto left = from.number(); left > 0; --left) account.groups.push_back(static_cast<unsigned>(from.number()));
    account.home = from.text();
    account.name = from.text();
    return account;
}

}  // namespace

std::string encode(const Parameters& parameters) {
    const Command& command = parameters.command;
    Writer to;
    to.texts(command.argv);
    to.texts(command.environment);
    to.text(command.directory.native());
    write_account(to, command.account);
    to.number(static_cast<std::uint64_t>(command.timeout.count()));
    to.number(static_cast<std::uint64_t>(command.grace.count()));
    to.optional(command.limits.open_files);
    to.optional(command.limits.core_bytes);
    to.optional(command.limits.address_space_bytes);
    to.number(static_cast<std::uint64_t>(command.priority));
    to.number(command.listen_fds ? 1 : 0);
    to.number(command.keep_leftovers ? 1 : 0);
    to.number(parameters.kept_fds);
    to.text(parameters.cgroup);
    return to.take();
}

Parameters decode_parameters(std::string_view bytes) {
    Reader from(bytes);
    Parameters parameters;
    Command& command = parameters.command;
    command.argv = from.texts();
    command.environment = from.texts();
    command.directory = from.text();
    command.account = read_account(from);
    command.timeout = from.duration();
    command.grace = from.duration();
    command.limits.open_files = from.optional();
    command.limits.core_bytes = from.optional();
    command.limits.address_space_bytes = from.optional();
    const auto priority = from.number();
    if (priority > static_cast<std::uint64_t>(Priority::idle)) throw Error(ErrorKind::corrupt, "an unknown priority");
    command.priority = static_cast<Priority>(priority);
    command.listen_fds = from.number() != 0;
    command.keep_leftovers = from.number() != 0;
    parameters.kept_fds = from.number();
    parameters.cgroup = from.text();
    from.end();
    return parameters;
}

std::string encode(const Result& result) {
    Writer to;
    to.number(static_cast<std::uint64_t>(result.end));
    to.number(static_cast<std::uint64_t>(result.status));
    to.text(std::string_view(result.message).substr(0, most_report_bytes / 2));
    return to.take();
}

Result decode_result(std::string_view bytes) {
    Reader from(bytes);
    const auto end = from.number();
    if (end > static_cast<std::uint64_t>(Result::End::not_started)) {
        throw Error(ErrorKind::corrupt, "the supervisor reported an unknown end");
    }
    Result result;
    result.end = static_cast<Result::End>(end);
    result.status = static_cast<int>(from.number());
    result.message = from.text();
    from.end();
    return result;
}

}  // namespace baton::process
