// SPDX-License-Identifier: MIT
// SQLite behind one small room: a file that is opened strictly, statements that throw, transactions that are
// scopes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace baton::store {

class Connection;

/// A parameter of a statement: null, a whole number or text.
class Value {
  public:
    Value(std::nullopt_t) {}
    template <class Number>
    requires std::is_integral_v<Number> Value(Number number)
        : kind_(Kind::whole), whole_(static_cast<std::int64_t>(number)) {}
    Value(std::string text) : kind_(Kind::text), text_(std::move(text)) {}
    Value(std::string_view text) : kind_(Kind::text), text_(text) {}
    Value(const char* text) : kind_(Kind::text), text_(text) {}
    template <class Inner>
    Value(const std::optional<Inner>& value) : Value(value ? Value(*value) : Value(std::nullopt)) {}

    enum class Kind { null, whole, text };
    [[nodiscard]] Kind kind() const noexcept { return kind_; }
    [[nodiscard]] std::int64_t whole() const noexcept { return whole_; }
    [[nodiscard]] const std::string& text() const noexcept { return text_; }

  private:
    Kind kind_ = Kind::null;
    std::int64_t whole_ = 0;
    std::string text_;
};
using Values = std::vector<Value>;

/// A row of an answer, by column from 0. A wrong column or type is Error(corrupt).
class Row {
  public:
    explicit Row(std::vector<std::optional<std::string>> cells) : cells_(std::move(cells)) {}
    [[nodiscard]] bool is_null(std::size_t column) const;
    [[nodiscard]] const std::string& text(std::size_t column) const;
    [[nodiscard]] std::int64_t whole(std::size_t column) const;
    [[nodiscard]] std::uint64_t count(std::size_t column) const;  ///< whole, and not below 0
    [[nodiscard]] unsigned number(std::size_t column) const;      ///< count that fits
    [[nodiscard]] bool flag(std::size_t column) const { return whole(column) != 0; }

  private:
    std::vector<std::optional<std::string>> cells_;
};
using Rows = std::vector<Row>;

/// One SQLite file: WAL, synchronous=FULL (what was acknowledged survives SIGKILL and power loss), foreign
/// keys, STRICT tables, a schema brought up to date by numbered migrations. Writes go through one connection
/// under one lock; reads outside a transaction have a second one, so that they do not wait for the disk.
///
/// Any thread. Every failure is an Error: `io` for a full or failing disk (nothing of the statement or
/// transaction is kept, and it works again as soon as the disk does), `corrupt` for a damaged file, `busy`
/// when another process held the file for more than 5 s, `conflict` for a constraint, `internal` for a
/// statement at fault.
class Database {
  public:
    /// Opens or creates `file`; its directory must exist. Error(corrupt) when it is no database or quick_check
    /// finds damage (run after a kill or a power loss, and always up to 8 MiB), Error(conflict) when a newer
    /// program made it; all say what to do.
    explicit Database(const std::filesystem::path& file);
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;
    ~Database();

    /// Executes one statement that changes something; gives the number of changed rows. Outside a Transaction
    /// it is durable on return.
    std::size_t run(std::string_view sql, const Values& values = {});
    /// Executes one statement that only reads (SELECT), all rows at once: a limit belongs into the statement.
    [[nodiscard]] Rows query(std::string_view sql, const Values& values = {});
    /// A statement that changes and answers (`… RETURNING`).
    Rows run_returning(std::string_view sql, const Values& values = {});

    [[nodiscard]] const std::filesystem::path& file() const noexcept { return file_; }

  private:
    friend class Transaction;
    std::filesystem::path file_;
    std::unique_ptr<Connection> writer_;
    std::unique_ptr<Connection> reader_;
};

/// BEGIN IMMEDIATE … COMMIT as a scope that holds the writer's lock: rolls back unless committed. One that is
/// made inside another of the same thread joins it; when an inner one is not committed, the outer one cannot
/// be either.
class Transaction {
  public:
    explicit Transaction(Database& database);
    /// For the room itself, while the database is being opened.
    explicit Transaction(Connection& writer);
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;
    ~Transaction();
    /// Durable on return, for the outermost one. After an Error nothing of it is kept.
    void commit();

  private:
    Connection& writer_;
    bool open_ = true;
};

}  // namespace baton::store
