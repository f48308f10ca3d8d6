// SPDX-License-Identifier: MIT
// Opening a database strictly, and the scopes on it.
#include "agent/store/database.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <limits>

#include "agent/store/connection.h"
#include "agent/store/schema.h"
#include "common/error.h"
#include "common/file.h"

namespace baton::store {

namespace {

/// Makes the file for the owner only: SQLite gives the log and the index beside it the same mode.
void create_private(const std::filesystem::path& file) {
    const Fd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!fd) throw system_error(fmt::format("open database {}", file.string()), errno);
}

// A file up to this size is checked at every start; it takes some 2 ms a MiB.
constexpr std::uintmax_t always_checked_bytes = 8 << 20;

/// SQLite removes its log when the last connection closes in order, so a log that is still there tells of a
/// kill or a power loss. A large file that was closed in order is not read as a whole at each start.
bool needs_check(const std::filesystem::path& file) {
    std::filesystem::path log = file;
    log += "-wal";
    std::error_code ignored;
    const std::uintmax_t size = std::filesystem::file_size(file, ignored);
    if (ignored || size <= always_checked_bytes) return true;
    const std::uintmax_t left = std::filesystem::file_size(log, ignored);
    return !ignored && left > 0;
}

void check_integrity(Connection& connection, const std::filesystem::path& file) {
    const Rows rows = connection.execute("PRAGMA quick_check(1)", {});
    if (rows.size() == 1 && rows.front().text(0) == "ok") return;
    throw Error(ErrorKind::corrupt,
                fmt::format("database {} is damaged ({}); stop the agent and put back a backup of the file, or move "
                            "it away and run 'baton accept' for this node from a healthy one",
                            file.string(), rows.empty() ? "no answer" : rows.front().text(0)));
}

}  // namespace

bool Row::is_null(std::size_t column) const {
    if (column >= cells_.size()) {
        throw Error(ErrorKind::internal, fmt::format("a row of {} columns has no column {}", cells_.size(), column));
    }
    return !cells_[column].has_value();
}

const std::string& Row::text(std::size_t column) const {
    if (is_null(column)) throw Error(ErrorKind::corrupt, fmt::format("column {} of a stored row is empty", column));
    return *cells_[column];
}

std::int64_t Row::whole(std::size_t column) const {
    const std::string& cell = text(column);
    std::int64_t number = 0;
    const auto [end, fault] = std::from_chars(cell.data(), cell.data() + cell.size(), number);
    if (fault != std::errc{} || end != cell.data() + cell.size()) {
        throw Error(ErrorKind::corrupt, fmt::format("column {} of a stored row is not a whole number", column));
    }
    return number;
}

std::uint64_t Row::count(std::size_t column) const {
    const std::int64_t number = whole(column);
    if (number < 0) throw Error(ErrorKind::corrupt, fmt::format("column {} of a stored row is below 0", column));
    return static_cast<std::uint64_t>(number);
}

unsigned Row::number(std::size_t column) const {
    const std::uint64_t number = count(column);
    if (number > std::numeric_limits<unsigned>::max()) {
        throw Error(ErrorKind::corrupt, fmt::format("column {} of a stored row is too large", column));
    }
    return static_cast<unsigned>(number);
}

Database::Database(const std::filesystem::path& file) : file_(file) {
    create_private(file);
    const bool check = needs_check(file);
    writer_ = std::make_unique<Connection>(file, Connection::Access::read_write);
    if (check) check_integrity(*writer_, file);
    bring_up_to_date(*writer_, file);
    reader_ = std::make_unique<Connection>(file, Connection::Access::read_only);
}

Database::~Database() = default;

std::size_t Database::run(std::string_view sql, const Values& values) {
    std::size_t changed = 0;
    writer_->execute(sql, values, &changed);
    return changed;
}

Rows Database::query(std::string_view sql, const Values& values) {
    return (writer_->mine() ? *writer_ : *reader_).execute(sql, values);
}

Rows Database::run_returning(std::string_view sql, const Values& values) { return writer_->execute(sql, values); }

Transaction::Transaction(Database& database) : Transaction(*database.writer_) {}

Transaction::Transaction(Connection& writer) : writer_(writer) { writer_.begin(); }

Transaction::~Transaction() {
    if (open_) writer_.leave(false);
}

void Transaction::commit() {
    if (!open_) throw Error(ErrorKind::internal, "a transaction is committed twice");
    writer_.commit();
    open_ = false;
    writer_.leave(true);
}

}  // namespace baton::store
