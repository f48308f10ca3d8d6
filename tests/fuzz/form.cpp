// SPDX-License-Identifier: MIT
// Targets, queries and form bodies. The first line is the content type.
#include "common/net/form.h"

#include "tests/fuzz/fuzz.h"

void baton::fuzz::run(std::string_view input) {
    using namespace net;
    expect(percent_decode(percent_encode(input)) == input, "encoding keeps every byte");
    refused_or([&] { (void)percent_decode(input, Plus::space); });
    refused_or([&] {
        const Arguments arguments = parse_query(input);
        expect(arguments.size() <= max_arguments, "arguments are counted");
        Arguments named;
        for (const auto& argument : arguments) {
            if (!argument.first.empty() || !argument.second.empty()) named.push_back(argument);
        }
        expect(parse_query(encode_query(named)) == named, "a query reads back");
    });
    refused_or([&] {
        for (const auto& segment : path_segments(input)) {
            expect(!segment.empty() && segment != "." && segment != "..", "a segment is a name");
        }
    });
    const auto parts = first_line_of(input);
    const std::string_view type = parts.first;
    const std::string_view body = parts.second;
    refused_or([&] { (void)parse_form(type, body); });
    refused_or([&] { (void)parse_multipart("multipart/form-data; boundary=XX", body); });
}
