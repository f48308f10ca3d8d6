// SPDX-License-Identifier: MIT
// Exported objects: visibility by depth, selection by tree, JSON, Python and XML.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "agent/http/export/export.h"
#include "agent/http/export/export_print.h"
#include "common/error.h"

using namespace baton;
using namespace baton::http;

namespace {

/// A build whose details are made on demand; `made` counts how often.
Exported build(int number, int& made) {
    Exported object;
    object.class_name = "Build";
    object.properties = {{"number", number, 2}};
    object.rest = [number, &made]() -> std::vector<ExportProperty> {
        ++made;
        return {{"result", number % 2 == 0 ? ExportValue("SUCCESS") : ExportValue(nullptr)}, {"hidden", "x", -2}};
    };
    return object;
}

Exported job(int& made) {
    Exported property;
    property.class_name = "Property";
    property.properties = {{"deep", 1}};
    Exported object;
    object.class_name = "Job";
    object.properties = {{"name", "site", always_visible}, {"color", "blue", 2}};
    object.rest = [&made, property]() -> std::vector<ExportProperty> {
        return {{"builds", ExportValue::Later([&made] {
                     return ExportValue::List{build(3, made), build(2, made), build(1, made)};
                 })},
                {"lastBuild", build(3, made)},
                {"empty", ExportValue::List{}},
                {"property", ExportValue::List{property}, 1, true}};
    };
    return object;
}

std::string by_depth(const Exported& object, unsigned depth) {
    return to_json_text(print(object, {depth, nullptr}), Layout::compact);
}

std::string by_tree(const Exported& object, const std::string& text) {
    const Tree tree = parse_tree(text);
    return to_json_text(print(object, {0, &tree}), Layout::compact);
}

}  // namespace

TEST_CASE("jenkins export: depth 0 shows an object whole and what it refers to in brief") {
    int made = 0;
    CHECK(by_depth(job(made), 0) ==
          R"({"_class":"Job","name":"site","color":"blue","builds":[{"_class":"Build","number":3},)"
          R"({"_class":"Build","number":2},{"_class":"Build","number":1}],"lastBuild":{"_class":"Build","number":3},)"
          R"("empty":[],"property":[{"_class":"Property","deep":1}]})");
    CHECK(made == 0);  // nothing was made that is not shown
}

TEST_CASE("jenkins export: depth 1 shows one level more, and a negative visibility only a great depth") {
    int made = 0;
    const std::string one = by_depth(job(made), 1);
    CHECK_THAT(one, Catch::Contains(R"({"_class":"Build","number":2,"result":"SUCCESS"})"));
    CHECK_THAT(one, Catch::Contains(R"({"_class":"Build","number":3,"result":null})"));
    CHECK_THAT(one, !Catch::Contains("hidden"));
    CHECK(made == 4);
    CHECK_THAT(by_depth(build(2, made), 2), !Catch::Contains("hidden"));
    CHECK_THAT(by_depth(build(2, made), 3), Catch::Contains("hidden"));
    CHECK_THAT(by_depth(job(made), 4'000'000), Catch::Contains("hidden"));
}

TEST_CASE("jenkins export: a tree prints what it names, whatever the visibility, and `_class` always") {
    int made = 0;
    CHECK(by_tree(job(made), "name") == R"({"_class":"Job","name":"site"})");
    CHECK(made == 0);
    CHECK(by_tree(job(made), "builds[hidden]{1,2}") ==
          R"({"_class":"Job","builds":[{"_class":"Build","hidden":"x"}]})");
    CHECK(by_tree(job(made), "lastBuild,nothing") == R"({"_class":"Job","lastBuild":{"_class":"Build"}})");
    CHECK(by_tree(job(made), "builds[number]{5,9}") == R"({"_class":"Job","builds":[]})");
    CHECK(by_tree(job(made), "lastBuild[result]") ==
          R"({"_class":"Job","lastBuild":{"_class":"Build","result":null}})");
    CHECK(by_tree(job(made), "*[number]{0}") ==
          R"({"_class":"Job","name":"site","color":"blue","builds":[{"_class":"Build","number":3}],)"
          R"("lastBuild":{"_class":"Build","number":3},"empty":[],"property":[{"_class":"Property"}]})");
}

TEST_CASE("jenkins export: a null object, texts in any language and broken UTF-8") {
    Exported object;
    object.properties = {{"none", nullptr},
                         {"text", "Grüße \"x\" \\ \n \x01"},
                         {"broken", std::string("a\xff") + "b"},
                         {"number", std::int64_t{1'754'000'000'000}},
                         {"share", 1.5},
                         {"yes", true}};
    const auto printed = print(object, {});
    CHECK(to_json_text(printed, Layout::compact) ==
          "{\"none\":null,\"text\":\"Grüße \\\"x\\\" \\\\ \\n \\u0001\",\"broken\":\"a\xEF\xBF\xBD"
          "b\",\"number\":1754000000000,\"share\":1.5,\"yes\":true}");
    CHECK(to_python_text(printed) ==
          "{\"none\":None,\"text\":\"Grüße \\\"x\\\" \\\\ \\n \\u0001\",\"broken\":\"a\xEF\xBF\xBD"
          "b\",\"number\":1754000000000,\"share\":1.5,\"yes\":True}");
    CHECK_THAT(to_json_text(printed, Layout::indented), Catch::StartsWith("{\n  \"none\": null"));
}

TEST_CASE(
    "jenkins export: XML repeats lists in the singular, leaves null out and keeps the class as an "
    "attribute") {
    int made = 0;
    const XmlNode root = to_xml("job", print(job(made), {1, nullptr}));
    CHECK(write_xml(root) ==
          "<job _class=\"Job\"><name>site</name><color>blue</color>"
          "<build _class=\"Build\"><number>3</number></build>"
          "<build _class=\"Build\"><number>2</number><result>SUCCESS</result></build>"
          "<build _class=\"Build\"><number>1</number></build>"
          "<lastBuild _class=\"Build\"><number>3</number></lastBuild>"
          "<property _class=\"Property\"><deep>1</deep></property></job>");
}

TEST_CASE("jenkins export: XML escapes, drops what a name cannot hold, and replaces what XML cannot say") {
    Exported inside;
    inside.properties = {{"refs/remotes/origin/main", 7}, {"9", "x"}};
    Exported object;
    object.properties = {{"text", "a<b>&\"c\"\x01\n"}, {"by", inside}, {"flag", false}};
    const std::string text = write_xml(to_xml("it", print(object, {9, nullptr})));
    CHECK_THAT(text, Catch::Contains("a&lt;b&gt;&amp;"));
    CHECK_THAT(text, Catch::Contains("\xEF\xBF\xBD"));
    CHECK_THAT(text, Catch::Contains("<refsremotesoriginmain>7</refsremotesoriginmain>"));
    CHECK_THAT(text, Catch::Contains("<_>x</_>"));
    CHECK_THAT(text, Catch::Contains("<flag>false</flag>"));
}

TEST_CASE("jenkins export: singular words") {
    CHECK(singular("builds") == "build");
    CHECK(singular("properties") == "property");
    CHECK(singular("property") == "property");
    CHECK(singular("computer") == "computer");
    CHECK(singular("s") == "s");
}
