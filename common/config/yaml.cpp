// SPDX-License-Identifier: MIT
// yaml-cpp's events as a tree: they tell anchors, quoting and the place of every key, which its nodes forget.
#include "common/config/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <sstream>
// The event interface is not part of the umbrella header.
#include <yaml-cpp/eventhandler.h>

#include "common/config/load.h"
#include "common/text.h"

namespace baton::config::yaml {
namespace {

// Our files need 7 levels. Readers and destructors recurse, so depth is a limit, not a matter of taste.
constexpr std::size_t deepest = 32;
// An unfinished message in the middle of the report is worse than a long one; a value of 1 MB is no message.
constexpr std::size_t most_quoted = 80;

Position position(const YAML::Mark& mark) {
    if (mark.is_null()) return {1, 1};
    return {static_cast<unsigned>(mark.line) + 1, static_cast<unsigned>(mark.column) + 1};
}

/// Ends the parse; the fault has been reported.
struct Stop {};

/// Builds the tree. `pending_` holds the containers that are still open, the innermost last.
class Builder final : public YAML::EventHandler {
  public:
    explicit Builder(Report& report) : report_(report) {}

    [[nodiscard]] std::optional<Value> take() { return std::move(root_); }

    void OnDocumentStart(const YAML::Mark& mark) override {
        if (root_) {
            report_.fault(position(mark), "a second document begins here, expected one document in the file");
            throw Stop{};
        }
    }
    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        refuse_anchor(mark, anchor);
        add(Value{Kind::null, position(mark), {}, false, {}, {}});
    }

    void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
        report_.fault(position(mark), "an alias ('*') is not allowed here, write the value out");
        add(Value{Kind::broken, position(mark), {}, false, {}, {}});
    }

    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        refuse_anchor(mark, anchor);
        refuse_tag(mark, tag);
        if (value.find('\0') != std::string::npos) {
            report_.fault(position(mark), "a value holds a NUL character");
        }
        add(Value{Kind::scalar, position(mark), value, tag == "!", {}, {}});
    }

    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        open(mark, tag, anchor, Kind::sequence);
    }
    void OnSequenceEnd() override { close(); }

    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        open(mark, tag, anchor, Kind::map);
    }
    void OnMapEnd() override { close(); }

  private:
    struct Open {
        Value value;
        std::optional<Entry> key;    ///< of a map: read, its value not yet
        bool key_is_broken = false;  ///< reported: the entry is dropped
    };

    void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Kind kind) {
        refuse_anchor(mark, anchor);
        refuse_tag(mark, tag);
        if (pending_.size() >= deepest) {
            report_.fault(position(mark), fmt::format("nested deeper than {} levels", deepest));
            throw Stop{};
        }
        pending_.push_back(Open{Value{kind, position(mark), {}, false, {}, {}}, std::nullopt, false});
    }

    void close() {
        Value value = std::move(pending_.back().value);
        pending_.pop_back();
        add(std::move(value));
    }

    void add(Value value) {
        if (pending_.empty()) {
            root_ = std::move(value);
            return;
        }
        Open& parent = pending_.back();
        if (parent.value.kind == Kind::sequence) {
            parent.value.items.push_back(std::move(value));
        } else if (!parent.key) {
            begin_entry(parent, std::move(value));
        } else {
            parent.key->value = std::move(value);
            if (!parent.key_is_broken) add_entry(parent.value, std::move(*parent.key));
            parent.key.reset();
        }
    }

    void begin_entry(Open& parent, Value key) {
        if (key.kind != Kind::scalar && key.kind != Kind::broken) {
            report_.fault(key.at, "a key must be a plain word");
        }
        parent.key_is_broken = key.kind != Kind::scalar;
        parent.key = Entry{std::move(key.text), key.at, {}};
    }

    void add_entry(Value& map, Entry entry) {
        const auto earlier = std::ranges::find(map.entries, entry.key, &Entry::key);
        if (earlier != map.entries.end()) {
            report_.fault(entry.at, fmt::format("the key '{}' comes twice, first in line {}",
                                                escape_control(first_line(entry.key, most_quoted)), earlier->at.line));
            return;
        }
        map.entries.push_back(std::move(entry));
    }

    void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
        if (anchor != YAML::NullAnchor) {
            report_.fault(position(mark),
                          "an anchor ('&') is not allowed here, write the value out where it is needed");
        }
    }

    void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
        if (!tag.empty() && tag != "?" && tag != "!") {
            report_.fault(position(mark), fmt::format("a tag ('{}') is not allowed here",
                                                      escape_control(first_line(tag, most_quoted))));
        }
    }

    Report& report_;
    std::vector<Open> pending_;
    std::optional<Value> root_;
};

/// yaml-cpp stops reading at bad UTF-8 without a word.
bool check_bytes(std::string_view text, Report& report) {
    unsigned line = 1;
    for (const std::string& part : split(text, '\n')) {
        if (valid_utf8(part) != part) {
            report.fault({line, 1}, "this line is not UTF-8");
            return false;
        }
        const auto nul = part.find('\0');
        if (nul != std::string::npos) {
            report.fault({line, static_cast<unsigned>(nul) + 1}, "a NUL character, expected text");
            return false;
        }
        ++line;
    }
    return true;
}

}  // namespace

void Report::fault(Position at, std::string message) {
    faults_.push_back({file_, at.line, at.column, std::move(message)});
}

void Report::warn(Position at, std::string message) {
    warnings_.push_back({file_, at.line, at.column, std::move(message)});
}

void Report::throw_if_faulty() const {
    if (!faults_.empty()) throw ConfigError(faults_);
}

std::vector<Fault> Report::warnings() const { return warnings_; }

std::optional<Value> parse(std::string_view text, Report& report) {
    if (text.size() > most_config_bytes) {
        report.fault({}, fmt::format("the file has {} bytes, at most {} are read", text.size(), most_config_bytes));
        return std::nullopt;
    }
    if (!check_bytes(text, report)) return std::nullopt;
    std::istringstream stream{std::string(text)};
    Builder builder(report);
    try {
        YAML::Parser parser(stream);
        // At most two: the second is refused by the builder.
        while (parser.HandleNextDocument(builder)) {
        }
    } catch (const Stop&) {
        return std::nullopt;
    } catch (const YAML::Exception& error) {
        const bool tab = error.msg.find("illegal") != std::string::npos && text.find('\t') != std::string_view::npos;
        report.fault(position(error.mark),
                     fmt::format("{} (this is not valid YAML{})", error.msg, tab ? "; a tab cannot indent" : ""));
        return std::nullopt;
    }
    auto root = builder.take();
    if (!root || root->kind == Kind::null) {
        report.fault({1, 1}, "the file is empty");
        return std::nullopt;
    }
    if (root->kind != Kind::map) {
        report.fault(root->at, "expected keys with values, such as 'name: value'");
        return std::nullopt;
    }
    return root;
}

}  // namespace baton::config::yaml
