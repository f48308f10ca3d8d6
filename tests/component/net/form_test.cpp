// SPDX-License-Identifier: MIT
// Percent-encoding, queries, paths and multipart bodies.
#include "common/net/form.h"

#include <catch2/catch.hpp>

#include "common/error.h"

using namespace baton;
using namespace baton::net;

TEST_CASE("form: a query is split before it is decoded, and a plus is a space") {
    CHECK(parse_query("a=1&b=x+y%20z&&c&d=%26%3D&e=a=b") ==
          Arguments{{"a", "1"}, {"b", "x y z"}, {"c", ""}, {"d", "&="}, {"e", "a=b"}});
    CHECK(parse_query("tree=jobs[name,url]{0,5}*$") == Arguments{{"tree", "jobs[name,url]{0,5}*$"}});
    CHECK_THROWS_AS(parse_query("a=%4"), Error);
    CHECK_THROWS_AS(parse_query("a=%zz"), Error);
    std::string many;
    for (int i = 0; i < 1001; ++i) many += "a&";
    CHECK_THROWS_AS(parse_query(many), Error);
    CHECK(parse_query(encode_query({{"a b", "c&d=\xC3\xA4+"}})) == Arguments{{"a b", "c&d=\xC3\xA4+"}});
}

TEST_CASE("form: path segments are decoded one by one, empty ones are dropped, and none climbs") {
    CHECK(path_segments("//job//a%2Fb+c/?x=/y") == std::vector<std::string>{"job", "a/b+c"});
    CHECK(path_segments("/").empty());
    for (const char* bad : {"/a/../b", "/%2e%2e", "/.", "/a%00b", "/a%0ab", "/%"}) {
        INFO(bad);
        CHECK_THROWS_AS(path_segments(bad), Error);
    }
}

TEST_CASE("form: multipart needs its boundary, and only forms have arguments") {
    const std::string body = "--B\r\nContent-Disposition: form-data; name=\"a b\"\r\n\r\none\r\ntwo\r\n--B--\r\n";
    CHECK(parse_form("multipart/form-data; boundary=B", body) == Arguments{{"a b", "one\r\ntwo"}});
    CHECK(parse_form("Multipart/Form-Data; boundary=\"B\"", body) == Arguments{{"a b", "one\r\ntwo"}});
    CHECK_THROWS_AS(parse_form("multipart/form-data", body), Error);
    CHECK_THROWS_AS(parse_form("multipart/form-data; boundary=other", body), Error);
    CHECK(parse_form("application/x-www-form-urlencoded; charset=UTF-8", "a=b") == Arguments{{"a", "b"}});
    CHECK(parse_form("text/xml", "a=b").empty());
    CHECK(parse_form("", "").empty());
}
