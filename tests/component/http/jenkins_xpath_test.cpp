// SPDX-License-Identifier: MIT
// The small XPath, and how its results are answered.
#include <catch2/catch.hpp>
#include <string>

#include "agent/http/export/export_print.h"
#include "agent/http/export/xpath.h"
#include "common/error.h"

using namespace baton;
using namespace baton::http;

namespace {

XmlNode document() {
    XmlNode root;
    root.name = "hudson";
    root.attribute("_class", "hudson.model.Hudson");
    for (const auto& [name, color] : {std::pair{"shop", "blue"}, {"blog", "red"}, {"wiki", "blue_anime"}}) {
        XmlNode& job = root.add("job");
        job.attribute("_class", "Project");
        job.add("name", name);
        job.add("color", color);
        XmlNode& last = job.add("lastBuild");
        last.add("number", std::string(name) == "blog" ? "8" : "7");
    }
    root.add("mode", "NORMAL");
    return root;
}

std::string texts(const std::string& expression) {
    const XmlNode root = document();
    const XPathValue value = evaluate_xpath(root, expression);
    if (value.kind == XPathValue::Kind::text) return "text:" + value.text;
    std::string all;
    for (const XPathNode& node : value.nodes) all += (all.empty() ? "" : ",") + node.text();
    return all;
}

ErrorKind refusal(const std::string& expression) {
    try {
        (void)evaluate_xpath(document(), expression);
    } catch (const Error& error) {
        return error.kind();
    }
    return ErrorKind::internal;
}

Response ask(const std::string& xpath, const std::string& wrapper = {}, std::vector<std::string> exclude = {}) {
    return xml_response(document(), {xpath, wrapper, std::move(exclude)});
}

}  // namespace

TEST_CASE("jenkins xpath: steps from the root, from anywhere, with names, stars and texts") {
    CHECK(texts("/hudson/mode") == "NORMAL");
    CHECK(texts("//name") == "shop,blog,wiki");
    CHECK(texts("//job/name/text()") == "shop,blog,wiki");
    CHECK(texts("/*/mode/text()") == "NORMAL");
    CHECK(texts("hudson/job/lastBuild/number") == "7,8,7");
    CHECK(texts("//job//number") == "7,8,7");
    CHECK(texts("//job/*/number") == "7,8,7");
    CHECK(texts("//@_class") == "hudson.model.Hudson,Project,Project,Project");
    CHECK(texts("/hudson/@_class") == "hudson.model.Hudson");
    CHECK(texts("//nothing") == "");
    CHECK(texts("/mode") == "");
    CHECK(texts("//mode | //job[1]/name | //mode") == "shop,NORMAL");
    CHECK(texts("//lastBuild/./number") == "7,8,7");
}

TEST_CASE("jenkins xpath: predicates") {
    CHECK(texts("//job[2]/name") == "blog");
    CHECK(texts("//job[last()]/name") == "wiki");
    CHECK(texts("//job[position()=2]/name") == "blog");
    CHECK(texts("//job[name='blog']/color") == "red");
    CHECK(texts("//job[name=\"blog\"]/lastBuild/number") == "8");
    CHECK(texts("//job[color!='red']/name") == "shop,wiki");
    CHECK(texts("//job[lastBuild/number=8]/name") == "blog");
    CHECK(texts("//job[starts-with(color,'blue')]/name") == "shop,wiki");
    CHECK(texts("//job[contains(color, 'anime') or name='shop']/name") == "shop,wiki");
    CHECK(texts("//job[not(color='blue') and lastBuild]/name") == "blog,wiki");
    CHECK(texts("//job[@_class='Project'][1]/name") == "shop");
    CHECK(texts("//name[text()='wiki']") == "wiki");
    CHECK(texts("//job[9]") == "");
}

TEST_CASE("jenkins xpath: functions give text") {
    CHECK(texts("concat(//mode,\":\",//job[2]/name)") == "text:NORMAL:blog");
    CHECK(texts("count(//job)") == "text:3");
    CHECK(texts("string(//job[3]/name)") == "text:wiki");
    CHECK(texts("count(//job[color='blue'])=1") == "text:true");
    CHECK(texts("boolean(//nothing)") == "text:false");
    CHECK(texts("'just text'") == "text:just text");
}

TEST_CASE("jenkins xpath: what is not understood is refused, never guessed") {
    for (const char* wrong :
         {"//", "/hudson[", "//job[]", "//job[name='x]", "..", "//job/..", "child::job", "//job[1.5]", "$x",
          "concat('a')", "count()", "nofunction(//a)", "//a b", "count(1)", "a|", "(//a", "id('x')"}) {
        INFO(wrong);
        CHECK(refusal(wrong) == ErrorKind::invalid);
    }
    CHECK(refusal(std::string(most_xpath_bytes + 1, 'a')) == ErrorKind::invalid);
    CHECK(refusal("//a[" + std::string(1000, '(')) == ErrorKind::invalid);
}

TEST_CASE("jenkins xpath: an expression that would look at everything again and again is stopped") {
    XmlNode root;
    root.name = "r";
    for (int n = 0; n < 3000; ++n) root.add("a").add("b", "x");
    try {
        (void)evaluate_xpath(root, "//a[count(//b)=1]");
        FAIL("the search must be stopped");
    } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::too_large);
    }
}

TEST_CASE("jenkins xpath: one match is that element, a text is plain text") {
    const Response element = ask("//job[2]/name");
    CHECK(element.status == 200);
    CHECK(element.body == "<name>blog</name>");
    CHECK(element.headers.get("Content-Type") == "application/xml;charset=UTF-8");
    const Response text = ask("//job[2]/name/text()");
    CHECK(text.body == "blog");
    CHECK(text.headers.get("Content-Type") == "text/plain;charset=UTF-8");
    CHECK(ask("concat(//mode,\"!\")").body == "NORMAL!");
}

TEST_CASE("jenkins xpath: no match is 404, several without a wrapper 500, a wrapper holds any number") {
    CHECK(ask("//nothing").status == 404);
    CHECK(ask("//name").status == 500);
    CHECK(ask("//name", "names").body == "<names><name>shop</name><name>blog</name><name>wiki</name></names>");
    const Response none = ask("//nothing", "names");
    CHECK(none.status == 200);
    CHECK_THAT(none.body, Catch::StartsWith("<names"));
    CHECK_THROWS_AS(ask("//name", "no name"), Error);
    CHECK_THROWS_AS(ask("//name", "<x>"), Error);
}

TEST_CASE("jenkins xpath: exclude takes matches out first") {
    const Response response = ask("//job[1]", "", {"//color", "//lastBuild"});
    CHECK(response.body == "<job _class=\"Project\"><name>shop</name></job>");
    CHECK(ask("count(//job)", "", {"//job[name='blog']"}).body == "2");
    CHECK_THAT(ask("", "", {"//job"}).body, Catch::Contains("<mode>NORMAL</mode></hudson>"));
}
