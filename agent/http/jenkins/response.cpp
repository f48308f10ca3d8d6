// SPDX-License-Identifier: MIT
// An exported page as an answer.
#include "agent/http/jenkins/response.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "agent/http/export/export_print.h"
#include "common/error.h"
#include "common/text.h"

namespace baton::http {

namespace {

constexpr std::size_t most_excludes = 16;

unsigned depth_of(const Request& request) {
    const auto text = request.arg("depth");
    if (!text || text->empty()) return 0;
    std::string_view digits = *text;
    const bool negative = digits.starts_with('-');
    if (negative) digits.remove_prefix(1);
    const auto depth = parse_whole(digits);
    if (!depth) throw Error(ErrorKind::invalid, "'depth' must be a whole number");
    return negative ? 0U : static_cast<unsigned>(std::min<std::uint64_t>(*depth, most_depth));
}

nlohmann::ordered_json printed(const ExportPage& page, const Request& request) {
    const auto text = request.arg("tree");
    if (text && !text->empty()) {
        const Tree tree = parse_tree(*text);
        return print(page.object, {0, &tree});
    }
    return print(page.object, {depth_of(request), nullptr});
}

Response xml_answer(const ExportPage& page, const Request& request) {
    XmlRequest wanted;
    wanted.xpath = request.arg("xpath").value_or("");
    wanted.wrapper = request.arg("wrapper").value_or("");
    wanted.exclude = request.args("exclude");
    if (wanted.exclude.size() > most_excludes) {
        throw Error(ErrorKind::invalid, fmt::format("'exclude' comes more than {} times", most_excludes));
    }
    return xml_response(to_xml(page.element, printed(page, request)), wanted);
}

}  // namespace

Response export_response(const ExportPage& page, const Request& request, std::span<const std::string> suffix) {
    if (suffix.size() < 2) {
        return note_page("Remote access API",
                         "This object can be had as json, python or xml: append it to this address.");
    }
    const std::string& format = suffix[1];
    if (format != "json" && format != "python" && format != "xml") {
        throw Error(ErrorKind::not_found, "there is api/json, api/python and api/xml");
    }
    if (request.arg("jsonp"))
        throw Error(ErrorKind::forbidden, "jsonp forbidden; implement jenkins.security.SecureRequester");
    if (format == "xml") return xml_answer(page, request);
    const nlohmann::ordered_json value = printed(page, request);
    if (format == "python") return Response::content("text/x-python;charset=UTF-8", to_python_text(value));
    const Layout layout = request.arg("pretty") ? Layout::indented : Layout::compact;
    return Response::content("application/json;charset=UTF-8", to_json_text(value, layout));
}

Response note_page(std::string_view title, std::string_view text) {
    return Response::html(
        fmt::format("<!doctype html><meta charset=\"utf-8\"><title>{0}</title><h1>{0}</h1><p>{1}</p>\n",
                    escape_html(title), escape_html(text)));
}

std::span<const std::string> path_from(const Request& request, std::size_t at) {
    return std::span(request.path).subspan(std::min(at, request.path.size()));
}

Response post_only() {
    Response response = Response::error(405, "This changes something: use POST");
    response.headers.set("Allow", "POST");
    return response;
}

Response not_offered() {
    Response response = note_page("Not implemented", "Jenkins has this; this agent does not.");
    response.status = 501;
    response.headers.set("X-Error", "Not implemented by this agent");
    return response;
}

std::string escape_html(std::string_view text) {
    std::string escaped;
    for (const char c : text) {
        switch (c) {
            case '&': escaped += "&amp;"; break;
            case '<': escaped += "&lt;"; break;
            case '>': escaped += "&gt;"; break;
            case '"': escaped += "&quot;"; break;
            case '\'': escaped += "&#39;"; break;
            default: escaped += c;
        }
    }
    return escaped;
}

Response redirect_to(const Request& request, std::string_view path) {
    return Response::redirect(fmt::format("{}{}", request.base_url(), path));
}

}  // namespace baton::http
