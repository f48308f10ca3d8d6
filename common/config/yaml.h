// SPDX-License-Identifier: MIT
// A YAML document as a tree with positions, after everything that is refused in any of our files was refused.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/fault.h"

namespace baton::config::yaml {

struct Position {
    unsigned line = 0;
    unsigned column = 0;
};

struct Entry;

/// `broken` stands for a value that has been reported (an alias): whoever reads it says nothing more.
enum class Kind { null, scalar, sequence, map, broken };

struct Value {
    Kind kind = Kind::null;
    Position at;
    std::string text;            ///< scalar: as written, quotes removed
    bool quoted = false;         ///< scalar: quoted, or a block
    std::vector<Value> items;    ///< sequence
    std::vector<Entry> entries;  ///< map, in the order of the file; no key comes twice
};

struct Entry {
    std::string key;
    Position at;
    Value value;
};

/// The faults and warnings of one file, as they are found.
class Report {
  public:
    explicit Report(std::string_view file_name) : file_(file_name) {}
    void fault(Position at, std::string message);
    void warn(Position at, std::string message);
    [[nodiscard]] bool clean() const { return faults_.empty(); }
    /// ConfigError when there is a fault.
    void throw_if_faulty() const;
    [[nodiscard]] std::vector<Fault> warnings() const;

  private:
    std::string file_;
    std::vector<Fault> faults_;
    std::vector<Fault> warnings_;
};

/// Parses one document; its top must be a map. Reports bad syntax (then nothing is returned), and duplicate
/// keys, anchors, aliases, tags, a second document, deep nesting and bad UTF-8.
[[nodiscard]] std::optional<Value> parse(std::string_view text, Report& report);

}  // namespace baton::config::yaml
