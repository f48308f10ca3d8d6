// SPDX-License-Identifier: MIT
// XPath expressions over a small document such as `api/xml` shows.
#include "agent/http/export/xpath.h"
#include "tests/fuzz/fuzz.h"

namespace {

baton::http::XmlNode document() {
    baton::http::XmlNode root;
    root.name = "freeStyleProject";
    root.attribute("_class", "hudson.model.FreeStyleProject");
    root.add("name", "shop");
    for (int number = 1; number <= 4; ++number) {
        auto& build = root.add("build");
        build.attribute("_class", "build");
        build.add("number", std::to_string(number));
        build.add("result", number % 2 == 0 ? "SUCCESS" : "FAILURE");
        auto& cause = build.add("action").add("cause");
        cause.add("shortDescription", "Started by user ann & bo's <hook>");
    }
    return root;
}

}  // namespace

void baton::fuzz::run(std::string_view input) {
    static const http::XmlNode fixed = document();
    refused_or([&] {
        const http::XPathValue value = http::evaluate_xpath(fixed, input);
        for (const auto& node : value.nodes) (void)node.text();
    });
    refused_or([&] {
        http::XmlNode copy = fixed;
        http::remove_matches(copy, input);
        expect(copy.name == fixed.name, "the root stays");
        (void)http::write_xml(copy, http::Declaration::xml);
    });
}
