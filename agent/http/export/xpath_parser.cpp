// SPDX-License-Identifier: MIT
// Reading XPath expressions.
#include "agent/http/export/xpath_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "agent/http/export/xpath.h"
#include "common/error.h"
#include "common/text.h"

namespace baton::http {

namespace {

constexpr unsigned most_nesting = 32;

struct Function {
    std::string_view name;
    std::size_t least;
    std::size_t most;
};
constexpr std::array functions{
    Function{"concat", 2, 64},     Function{"count", 1, 1}, Function{"string", 1, 1},
    Function{"boolean", 1, 1},     Function{"not", 1, 1},   Function{"contains", 2, 2},
    Function{"starts-with", 2, 2}, Function{"last", 0, 0},  Function{"position", 0, 0},
};

bool name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool digit(char c) { return c >= '0' && c <= '9'; }
bool name_part(char c) { return name_start(c) || digit(c) || c == '-' || c == '.'; }

class Parser {
  public:
    explicit Parser(std::string_view text) : text_(text) {}

    XPathExpression whole() {
        XPathExpression expression = either();
        blanks();
        if (at_ != text_.size()) fail("nothing more");
        return expression;
    }

  private:
    using Kind = XPathExpression::Kind;

    static XPathExpression join(Kind kind, XPathExpression left, XPathExpression right) {
        XPathExpression joined;
        joined.kind = kind;
        joined.parts.push_back(std::move(left));
        joined.parts.push_back(std::move(right));
        return joined;
    }

    XPathExpression either() {
        if (++nesting_ > most_nesting) fail("less nesting");
        XPathExpression left = both();
        while (word("or")) left = join(Kind::either, std::move(left), both());
        --nesting_;
        return left;
    }

    XPathExpression both() {
        XPathExpression left = compared();
        while (word("and")) left = join(Kind::both, std::move(left), compared());
        return left;
    }

    XPathExpression compared() {
        XPathExpression left = united();
        if (take("!=")) return join(Kind::differ, std::move(left), united());
        if (take("=")) return join(Kind::equal, std::move(left), united());
        return left;
    }

    XPathExpression united() {
        XPathExpression left = primary();
        while (take("|")) left = join(Kind::unite, std::move(left), primary());
        return left;
    }

    XPathExpression primary() {
        blanks();
        XPathExpression expression;
        if (peek() == '\'' || peek() == '"') {
            expression.kind = Kind::literal;
            expression.text = quoted();
            return expression;
        }
        if (digit(peek())) {
            expression.kind = Kind::number;
            expression.number = number();
            return expression;
        }
        if (take("(")) {
            expression = either();
            expect(")");
            return expression;
        }
        if (const Function* function = function_here()) return call(*function);
        return path();
    }

    XPathExpression call(const Function& function) {
        XPathExpression expression;
        expression.kind = Kind::call;
        expression.text = function.name;
        at_ += function.name.size();
        expect("(");
        if (!take(")")) {
            do expression.parts.push_back(either());
            while (take(","));
            expect(")");
        }
        if (expression.parts.size() < function.least || expression.parts.size() > function.most) {
            fail(fmt::format("{} to {} arguments of {}()", function.least, function.most, function.name));
        }
        return expression;
    }

    const Function* function_here() const {
        for (const Function& function : functions) {
            std::string_view rest = text_.substr(at_);
            if (!rest.starts_with(function.name)) continue;
            rest.remove_prefix(function.name.size());
            if (trim(rest).starts_with('(')) return &function;
        }
        return nullptr;
    }

    XPathExpression path() {
        XPathExpression expression;
        bool descend = take("//");
        expression.absolute = descend || take("/");
        blanks();
        const bool root_only = expression.absolute && !descend && !step_here();
        if (root_only) return expression;
        while (true) {
            expression.steps.push_back(step(descend));
            descend = take("//");
            if (!descend && !take("/")) return expression;
        }
    }

    bool step_here() const { return name_start(peek()) || peek() == '*' || peek() == '@' || peek() == '.'; }

    XPathStep step(bool descend) {
        blanks();
        XPathStep step;
        step.descend = descend;
        if (take("..")) fail("no step upwards: it is not supported");
        if (take(".")) {
            step.axis = XPathStep::Axis::self;
            step.name = "*";
        } else if (take("@")) {
            step.axis = XPathStep::Axis::attribute;
            step.name = name_or_star();
        } else {
            step.name = name_or_star();
            if (step.name == "text" && take("(")) {
                expect(")");
                step.axis = XPathStep::Axis::text;
            }
        }
        while (take("[")) {
            step.predicates.push_back(either());
            expect("]");
        }
        return step;
    }

    std::string name_or_star() {
        if (take("*")) return "*";
        if (!name_start(peek())) fail("a name, '*', '@' or '.'");
        const std::size_t begin = at_;
        while (at_ < text_.size() && name_part(text_[at_])) ++at_;
        return std::string(text_.substr(begin, at_ - begin));
    }

    std::string quoted() {
        const char quote = text_[at_];
        const std::size_t end = text_.find(quote, at_ + 1);
        if (end == std::string_view::npos) fail("the text's end");
        std::string inside(text_.substr(at_ + 1, end - at_ - 1));
        at_ = end + 1;
        return inside;
    }

    double number() {
        constexpr std::size_t most_digits = 15;  // exact in a double
        const std::size_t begin = at_;
        while (digit(peek())) ++at_;
        const auto value = parse_whole(text_.substr(begin, at_ - begin));
        if (!value || at_ - begin > most_digits || peek() == '.') fail("a smaller whole number");
        return static_cast<double>(*value);
    }

    void blanks() {
        while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n')) ++at_;
    }
    [[nodiscard]] char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
    bool take(std::string_view token) {
        blanks();
        if (!text_.substr(at_).starts_with(token)) return false;
        at_ += token.size();
        return true;
    }
    /// A word between operands: not the beginning of a longer name.
    bool word(std::string_view token) {
        blanks();
        const std::string_view rest = text_.substr(at_);
        if (!rest.starts_with(token) || (rest.size() > token.size() && name_part(rest[token.size()]))) return false;
        at_ += token.size();
        return true;
    }
    void expect(std::string_view token) {
        if (!take(token)) fail(fmt::format("'{}'", token));
    }
    [[noreturn]] void fail(std::string_view expected) const {
        throw Error(ErrorKind::invalid,
                    fmt::format("the XPath is not understood at character {}: expected {}", at_ + 1, expected));
    }

    std::string_view text_;
    std::size_t at_ = 0;
    unsigned nesting_ = 0;
};

}  // namespace

XPathExpression parse_xpath(std::string_view text) {
    if (text.size() > most_xpath_bytes) {
        throw Error(ErrorKind::invalid, fmt::format("the XPath is longer than {} bytes", most_xpath_bytes));
    }
    return Parser(text).whole();
}

}  // namespace baton::http
