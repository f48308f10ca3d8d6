// SPDX-License-Identifier: MIT
// Values that several tables keep as JSON text.
#include "agent/store/records.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "common/json.h"

namespace baton::store {

std::string causes_to_text(const std::vector<wire::Cause>& causes) {
    json::Value list = json::Value::array();
    for (const wire::Cause& cause : causes) {
        list.push_back({{"kind", wire::to_text(cause.kind)},
                        {"text", cause.text},
                        {"who", cause.who},
                        {"address", cause.address}});
    }
    return json::dump(list);
}

std::vector<wire::Cause> parse_causes(const std::string& text) {
    return stored("a list of causes", [&] {
        std::vector<wire::Cause> causes;
        for (const json::Value& entry : json::parse(text)) {
            causes.push_back({wire::parse_cause_kind(json::text(entry, "kind")), json::text(entry, "text"),
                              json::text(entry, "who"), json::text(entry, "address")});
        }
        return causes;
    });
}

std::string parameters_to_text(const std::map<std::string, std::string>& parameters) {
    return json::dump(json::Value(parameters));
}

std::map<std::string, std::string> parse_parameters(const std::string& text) {
    return stored("a list of parameters", [&] {
        std::map<std::string, std::string> parameters;
        const json::Value object = json::parse(text);
        for (const auto& [name, value] : object.items()) parameters[name] = json::text(object, name);
        return parameters;
    });
}

std::int64_t storable(std::uint64_t number) {
    if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        throw Error(ErrorKind::invalid, "a number is too large to be kept: " + std::to_string(number));
    }
    return static_cast<std::int64_t>(number);
}

}  // namespace baton::store
