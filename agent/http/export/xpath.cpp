// SPDX-License-Identifier: MIT
// Evaluating XPath expressions on a small document.
#include "agent/http/export/xpath.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <variant>

#include "agent/http/export/xpath_parser.h"
#include "common/error.h"

namespace baton::http {

namespace {

// A job with 100 whole builds has some 10,000 nodes; `//a//b` looks at each a few times.
constexpr std::size_t most_visits = 1'000'000;

using Nodes = std::vector<XPathNode>;
using Value = std::variant<Nodes, std::string, double, bool>;
using Kind = XPathExpression::Kind;

std::string number_text(double number) {
    if (std::isfinite(number) && number == std::floor(number) && std::abs(number) < 1e15)
        return fmt::format("{:.0f}", number);
    return fmt::format("{}", number);
}

class Evaluator {
  public:
    explicit Evaluator(const XmlNode& root) : root_(root) { enter(root); }

    /// Where an expression stands: a node (no element: the document itself), its place among its fellows.
    struct Context {
        XPathNode node;
        std::size_t position = 1;
        std::size_t size = 1;
    };

    Value evaluate(const XPathExpression& expression, const Context& context) {
        switch (expression.kind) {
            case Kind::path: return walk(expression, context);
            case Kind::literal: return expression.text;
            case Kind::number: return expression.number;
            case Kind::unite: {
                Nodes all = nodes_of(evaluate(expression.parts[0], context));
                const Nodes more = nodes_of(evaluate(expression.parts[1], context));
                all.insert(all.end(), more.begin(), more.end());
                put_in_order(all);
                return all;
            }
            case Kind::equal: return compare(expression, context, true);
            case Kind::differ: return compare(expression, context, false);
            case Kind::both:
                return truth(evaluate(expression.parts[0], context)) && truth(evaluate(expression.parts[1], context));
            case Kind::either:
                return truth(evaluate(expression.parts[0], context)) || truth(evaluate(expression.parts[1], context));
            case Kind::call: return call(expression, context);
        }
        return std::string();
    }

    static std::string text_of(const Value& value) {
        if (const auto* nodes = std::get_if<Nodes>(&value))
            return nodes->empty() ? std::string() : nodes->front().text();
        if (const auto* text = std::get_if<std::string>(&value)) return *text;
        if (const auto* number = std::get_if<double>(&value)) return number_text(*number);
        return std::get<bool>(value) ? "true" : "false";
    }

  private:
    void enter(const XmlNode& node) {
        order_.emplace(&node, order_.size());
        for (const XmlNode& child : node.children) enter(child);
    }

    void visit() {
        if (++visits_ > most_visits)
            throw Error(ErrorKind::too_large, "the XPath looks at too many nodes; make it narrower");
    }

    static Nodes nodes_of(Value value) {
        if (auto* nodes = std::get_if<Nodes>(&value)) return std::move(*nodes);
        throw Error(ErrorKind::invalid, "the XPath wants nodes where it has a text or a number");
    }

    static bool truth(const Value& value) {
        if (const auto* nodes = std::get_if<Nodes>(&value)) return !nodes->empty();
        if (const auto* text = std::get_if<std::string>(&value)) return !text->empty();
        if (const auto* number = std::get_if<double>(&value)) return *number != 0;
        return std::get<bool>(value);
    }

    /// With nodes on a side, one of them is enough.
    bool compare(const XPathExpression& expression, const Context& context, bool equal) {
        const auto texts_of = [this](const Value& value) {
            std::vector<std::string> texts;
            if (const auto* nodes = std::get_if<Nodes>(&value)) {
                for (const XPathNode& node : *nodes) {
                    visit();
                    texts.push_back(node.text());
                }
            } else {
                texts.push_back(text_of(value));
            }
            return texts;
        };
        const auto left = texts_of(evaluate(expression.parts[0], context));
        const auto right = texts_of(evaluate(expression.parts[1], context));
        return std::ranges::any_of(left, [&](const std::string& one) {
            return std::ranges::any_of(right, [&](const std::string& other) {
                visit();
                return (one == other) == equal;
            });
        });
    }

    Value call(const XPathExpression& expression, const Context& context) {
        const std::string& name = expression.text;
        if (name == "last") return static_cast<double>(context.size);
        if (name == "position") return static_cast<double>(context.position);
        std::vector<Value> arguments;
        for (const XPathExpression& part : expression.parts) arguments.push_back(evaluate(part, context));
        if (name == "count") return static_cast<double>(nodes_of(std::move(arguments[0])).size());
        if (name == "not") return !truth(arguments[0]);
        if (name == "boolean") return truth(arguments[0]);
        if (name == "string") return text_of(arguments[0]);
        if (name == "contains") return text_of(arguments[0]).find(text_of(arguments[1])) != std::string::npos;
        if (name == "starts-with") return text_of(arguments[0]).starts_with(text_of(arguments[1]));
        std::string all;  // concat
        for (const Value& argument : arguments) all += text_of(argument);
        return all;
    }

    Nodes walk(const XPathExpression& path, const Context& context) {
        Nodes here{path.absolute ? XPathNode{XPathNode::Kind::element, nullptr, 0} : context.node};
        for (const XPathStep& step : path.steps) {
            if (step.descend) here = with_descendants(here);
            Nodes next;
            for (const XPathNode& node : here) {
                Nodes found = candidates(node, step);
                for (const XPathExpression& predicate : step.predicates) found = filtered(found, predicate);
                next.insert(next.end(), found.begin(), found.end());
            }
            put_in_order(next);
            here = std::move(next);
        }
        return here;
    }

    Nodes candidates(const XPathNode& node, const XPathStep& step) {
        Nodes found;
        visit();
        const auto consider = [&](const XmlNode& element) {
            visit();
            if (step.name == "*" || step.name == element.name) found.push_back({XPathNode::Kind::element, &element, 0});
        };
        if (node.kind != XPathNode::Kind::element) {
            if (step.axis == XPathStep::Axis::self) found.push_back(node);
            return found;
        }
        switch (step.axis) {
            case XPathStep::Axis::self: found.push_back(node); break;
            case XPathStep::Axis::child:
                if (node.element == nullptr) {
                    consider(root_);
                } else {
                    for (const XmlNode& child : node.element->children) consider(child);
                }
                break;
            case XPathStep::Axis::attribute:
                for (std::size_t index = 0; node.element != nullptr && index < node.element->attributes.size();
                     ++index) {
                    if (step.name == "*" || step.name == node.element->attributes[index].first) {
                        found.push_back({XPathNode::Kind::attribute, node.element, index});
                    }
                }
                break;
            case XPathStep::Axis::text:
                if (node.element != nullptr && !node.element->text.empty()) {
                    found.push_back({XPathNode::Kind::text, node.element, 0});
                }
                break;
        }
        return found;
    }

    Nodes filtered(const Nodes& nodes, const XPathExpression& predicate) {
        Nodes kept;
        for (std::size_t index = 0; index < nodes.size(); ++index) {
            const Value value = evaluate(predicate, {nodes[index], index + 1, nodes.size()});
            const auto* number = std::get_if<double>(&value);
            const bool keep = number != nullptr ? *number == static_cast<double>(index + 1) : truth(value);
            if (keep) kept.push_back(nodes[index]);
        }
        return kept;
    }

    Nodes with_descendants(const Nodes& nodes) {
        Nodes all;
        for (const XPathNode& node : nodes) {
            all.push_back(node);
            if (node.kind != XPathNode::Kind::element) continue;
            if (node.element == nullptr) {
                append_below(root_, all);
            } else {
                for (const XmlNode& child : node.element->children) append_below(child, all);
            }
        }
        put_in_order(all);
        return all;
    }

    void append_below(const XmlNode& node, Nodes& all) {
        visit();
        all.push_back({XPathNode::Kind::element, &node, 0});
        for (const XmlNode& child : node.children) append_below(child, all);
    }

    /// Document order, each once. The document itself comes first.
    void put_in_order(Nodes& nodes) {
        visits_ += nodes.size();
        using Place = std::tuple<std::size_t, int, std::size_t>;
        std::vector<std::pair<Place, XPathNode>> placed;
        placed.reserve(nodes.size());
        for (const XPathNode& node : nodes) {
            const std::size_t element = node.element == nullptr ? 0 : order_.at(node.element) + 1;
            placed.emplace_back(Place(element, static_cast<int>(node.kind), node.index), node);
        }
        const auto by_place = [](const auto& one) { return one.first; };
        if (!std::ranges::is_sorted(placed, {}, by_place)) std::ranges::sort(placed, {}, by_place);
        nodes.clear();
        for (const auto& [place, node] : placed) {
            if (nodes.empty() || nodes.back() != node) nodes.push_back(node);
        }
    }

    const XmlNode& root_;
    std::unordered_map<const XmlNode*, std::size_t> order_;
    std::size_t visits_ = 0;
};

void prune(XmlNode& node, const std::unordered_set<const XmlNode*>& unwanted) {
    std::vector<XmlNode> kept;
    for (XmlNode& child : node.children) {
        if (unwanted.contains(&child)) continue;
        prune(child, unwanted);
        kept.push_back(std::move(child));
    }
    node.children = std::move(kept);
}

}  // namespace

std::string XPathNode::text() const {
    if (element == nullptr) return {};
    switch (kind) {
        case Kind::element: return element->string_value();
        case Kind::attribute: return element->attributes.at(index).second;
        case Kind::text: return element->text;
    }
    return {};
}

XPathValue evaluate_xpath(const XmlNode& root, std::string_view expression) {
    const XPathExpression parsed = parse_xpath(expression);
    Evaluator evaluator(root);
    Value value = evaluator.evaluate(parsed, {XPathNode{XPathNode::Kind::element, nullptr, 0}, 1, 1});
    XPathValue result;
    if (auto* nodes = std::get_if<Nodes>(&value)) {
        result.nodes = std::move(*nodes);
        // `/` itself: the document is its root element.
        for (XPathNode& node : result.nodes) {
            if (node.element == nullptr) node.element = &root;
        }
        return result;
    }
    result.kind = XPathValue::Kind::text;
    result.text = Evaluator::text_of(value);
    return result;
}

void remove_matches(XmlNode& root, std::string_view expression) {
    const XPathValue value = evaluate_xpath(root, expression);
    std::unordered_set<const XmlNode*> unwanted;
    for (const XPathNode& node : value.nodes) {
        if (node.kind == XPathNode::Kind::element) unwanted.insert(node.element);
    }
    prune(root, unwanted);
}

}  // namespace baton::http
