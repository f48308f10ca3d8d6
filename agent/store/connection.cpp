// SPDX-License-Identifier: MIT
// One connection of Poco's SQLite session.
#include "agent/store/connection.h"

#include <Poco/Data/RecordSet.h>
#include <Poco/Data/SQLite/SQLiteException.h>
#include <Poco/Data/SQLite/SessionImpl.h>
#include <Poco/Data/Statement.h>
#include <fmt/format.h>

#include "common/text.h"

namespace baton::store {

namespace data = Poco::Data;
namespace sqlite = Poco::Data::SQLite;

namespace {

// How long a statement waits for another process (a person with sqlite3, a backup) before it gives up.
constexpr std::size_t busy_timeout_seconds = 5;
// A statement's text in an error: enough to find it.
constexpr std::size_t most_quoted = 80;

/// All parameters of one statement as one binding.
class ValuesBinding final : public data::AbstractBinding {
  public:
    explicit ValuesBinding(const Values& values) : values_(values) {}
    [[nodiscard]] std::size_t numOfColumnsHandled() const override { return values_.size(); }
    [[nodiscard]] std::size_t numOfRowsHandled() const override { return 1; }
    [[nodiscard]] bool canBind() const override { return !bound_; }
    void reset() override { bound_ = false; }
    void bind(std::size_t position) override {
        for (const Value& value : values_) {
            switch (value.kind()) {
                case Value::Kind::null: getBinder()->bind(position, data::Keywords::null, getDirection()); break;
                case Value::Kind::whole: getBinder()->bind(position, Poco::Int64{value.whole()}, getDirection()); break;
                case Value::Kind::text: getBinder()->bind(position, storable(value.text()), getDirection()); break;
            }
            ++position;
        }
        bound_ = true;
    }

  private:
    // Text comes back as a C string, so a NUL inside would cut it; and SQLite does not check UTF-8.
    static std::string storable(const std::string& text) {
        std::string clean = valid_utf8(text);
        for (std::size_t at = clean.find('\0'); at != std::string::npos; at = clean.find('\0', at)) {
            clean.replace(at, 1, "\xEF\xBF\xBD");
        }
        return clean;
    }

    const Values& values_;
    bool bound_ = false;
};

Rows rows_of(const data::Statement& statement) {
    const data::RecordSet records(statement);
    const std::size_t columns = records.columnCount();
    Rows rows;
    rows.reserve(records.rowCount());
    for (std::size_t line = 0; line < records.rowCount(); ++line) {
        std::vector<std::optional<std::string>> cells(columns);
        for (std::size_t column = 0; column < columns; ++column) {
            if (!records.isNull(column, line)) {
                cells[column] = records.value(column, line).convert<std::string>();
            }
        }
        rows.emplace_back(std::move(cells));
    }
    return rows;
}

template <class Exception>
bool is(const Poco::Exception& error) {
    return dynamic_cast<const Exception*>(&error) != nullptr;
}

ErrorKind kind_of(const Poco::Exception& error) {
    if (is<sqlite::CorruptImageException>(error)) return ErrorKind::corrupt;
    if (is<sqlite::ConstraintViolationException>(error)) return ErrorKind::conflict;
    if (is<sqlite::DBLockedException>(error) || is<sqlite::TableLockedException>(error)) return ErrorKind::busy;
    if (is<sqlite::DatabaseFullException>(error) || is<sqlite::IOErrorException>(error) ||
        is<sqlite::CantOpenDBFileException>(error) || is<sqlite::ReadOnlyException>(error) ||
        is<sqlite::NoMemoryException>(error) || is<data::ConnectionFailedException>(error)) {
        return ErrorKind::io;
    }
    if (is<sqlite::RowTooBigException>(error)) return ErrorKind::too_large;
    return ErrorKind::internal;
}

Error store_error(const std::filesystem::path& file, std::string_view sql, const Poco::Exception& error) {
    const ErrorKind kind = kind_of(error);
    std::string_view advice;
    if (is<sqlite::DatabaseFullException>(error)) {
        advice = "; free some space on its disk, nothing else is needed";
    } else if (kind == ErrorKind::corrupt) {
        advice = "; stop the agent and put back a backup of the file, or move it away and run 'baton accept'";
    }
    return Error(kind, fmt::format("database {}: {}: {} ({}){}", file.string(), first_line(trim(sql), most_quoted),
                                   error.message(), error.name(), advice));
}

}  // namespace

Connection::Connection(const std::filesystem::path& file, Access access)
    : file_(file), session_([&file]() -> data::Session {
          try {
              // The session implementation itself rather than its factory: a factory is a global.
              return data::Session(Poco::AutoPtr<data::SessionImpl>(
                  new sqlite::SessionImpl(std::filesystem::absolute(file).string(), busy_timeout_seconds)));
          } catch (const Poco::Exception& error) {
              throw store_error(file, "open", error);
          }
      }()) {
    if (access == Access::read_write) {
        execute("PRAGMA journal_mode = WAL", {});
        execute("PRAGMA synchronous = FULL", {});
        // The log is cut back to this after a checkpoint, whatever one large write made of it.
        execute("PRAGMA journal_size_limit = 4194304", {});
    } else {
        execute("PRAGMA query_only = ON", {});
    }
    execute("PRAGMA foreign_keys = ON", {});
    execute("PRAGMA trusted_schema = OFF", {});
    // Pages in memory, a connection: rows are small and the kernel caches the file.
    execute("PRAGMA cache_size = -512", {});
}

Rows Connection::execute(std::string_view sql, const Values& values, std::size_t* changed) {
    const std::lock_guard lock(mutex_);
    try {
        data::Statement statement(session_);
        statement << std::string(sql);
        if (!values.empty()) statement.addBind(new ValuesBinding(values));
        const std::size_t count = statement.execute();
        if (changed != nullptr) *changed = count;
        if (statement.columnsExtracted() == 0) return {};
        return rows_of(statement);
    } catch (const Poco::Exception& error) {
        throw store_error(file_, sql, error);
    }
}

void Connection::begin() {
    std::unique_lock lock(mutex_);
    if (depth_ == 0) {
        execute("BEGIN IMMEDIATE", {});
        doomed_ = false;
        owner_.store(std::this_thread::get_id());
    }
    ++depth_;
    lock.release();  // held until leave()
}

void Connection::commit() {
    if (doomed_) {
        throw Error(ErrorKind::internal, "a transaction cannot be committed: a part of it was not");
    }
    if (depth_ == 1) execute("COMMIT", {});
}

void Connection::leave(bool committed) noexcept {
    if (!committed) doomed_ = true;
    if (--depth_ == 0) {
        if (!committed) roll_back();
        owner_.store(std::thread::id{});
    }
    mutex_.unlock();
}

void Connection::roll_back() noexcept {
    try {
        // SQLite rolls back by itself on a full disk; then there is nothing left to undo.
        if (!session_.getFeature("autoCommit")) execute("ROLLBACK", {});
    } catch (const Error&) {
        // Whatever is still open is undone when the next BEGIN fails on it, and by death: nothing is
        // committed.
    } catch (const Poco::Exception&) {
    }
}

}  // namespace baton::store
