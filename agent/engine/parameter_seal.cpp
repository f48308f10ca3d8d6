// SPDX-License-Identifier: MIT
// Values of password parameters, sealed and opened.
#include "agent/engine/parameter_seal.h"

#include <algorithm>
#include <fmt/format.h>

#include "common/digest.h"
#include "common/error.h"
#include "common/log.h"
#include "common/seal.h"
#include "common/text.h"

namespace baton::engine {
namespace {

constexpr std::string_view mark = "sealed:";

bool is_password(const config::App& app, const std::string& name) {
    const auto declared = std::ranges::find(app.parameters, name, &config::Parameter::name);
    return declared != app.parameters.end() && declared->type == config::Parameter::Type::password;
}

/// What a value is bound to: it cannot become another parameter's, or another app's.
std::string place_of(const config::App& app, const std::string& name) { return fmt::format("{} {}", app.name, name); }

}  // namespace

Parameters ParameterSeal::seal(const config::App& app, Parameters parameters) const {
    const auto keys = keys_->keys();
    for (auto& [name, value] : parameters) {
        if (value.empty() || !is_password(app, name)) continue;
        const auto& key = keys->signing(self_, clock_.wall());
        value =
            fmt::format("{}{}:{}", mark, key.id, base64_encode(baton::seal(key.secret, value, place_of(app, name))));
    }
    return parameters;
}

ParameterSeal::Opened ParameterSeal::open(const config::App& app, const Parameters& parameters) const {
    Opened opened;
    for (const auto& [name, value] : parameters) {
        try {
            opened.parameters[name] = is_password(app, name) ? open_one(app, name, value) : value;
        } catch (const Error& error) {
            opened.unreadable = error.text();
            log::error("build", "a password parameter cannot be read", {{"app", app.name}, {"reason", error.text()}});
        }
    }
    return opened;
}

std::string ParameterSeal::open_one(const config::App& app, const std::string& name, std::string_view value) const {
    // One that an agent wrote down before it sealed them.
    if (!value.starts_with(mark)) return std::string(value);
    const auto words = split(value, ':');
    if (words.size() != 3) throw Error(ErrorKind::corrupt, fmt::format("parameter {}: not a sealed value", name));
    // Also with a key that signs nothing any more: what it sealed is still this chain's.
    const auto keys = keys_->keys();
    const auto* key = keys->find(words[1]);
    if (key == nullptr) {
        throw Error(ErrorKind::forbidden,
                    fmt::format("parameter {} was sealed with cluster key '{}', which this node does not have (any "
                                "more): put it into the cluster key file, or trigger again",
                                name, words[1]));
    }
    return with_context(fmt::format("parameter {}", name),
                        [&] { return unseal(key->secret, base64_decode(words[2]), place_of(app, name)); });
}

Parameters without_secrets(const config::App* app, Parameters parameters) {
    for (auto& [name, value] : parameters) {
        const bool secret = value.starts_with(mark) || (app != nullptr && is_password(*app, name));
        if (secret && !value.empty()) value = "****";
    }
    return parameters;
}

}  // namespace baton::engine
