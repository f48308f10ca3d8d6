// SPDX-License-Identifier: MIT
// Percent-encoding by Poco::URI, multipart by Poco's MultipartReader; the limits and the merging are ours.
#include "common/net/form.h"

#include <Poco/Exception.h>
#include <Poco/Net/MessageHeader.h>
#include <Poco/Net/MultipartReader.h>
#include <Poco/Net/NameValueCollection.h>
#include <Poco/URI.h>
#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <sstream>

#include "common/error.h"
#include "common/net/header_list.h"
#include "common/text.h"

namespace baton::net {

namespace {

void append(Arguments& arguments, std::string name, std::string value) {
    if (arguments.size() >= max_arguments) {
        throw Error(ErrorKind::too_large, fmt::format("more than {} arguments", max_arguments));
    }
    arguments.emplace_back(std::move(name), std::move(value));
}

std::string_view media_type(std::string_view content_type) {
    return trim(content_type.substr(0, content_type.find(';')));
}

bool has_control(std::string_view text) {
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f) return true;
    }
    return false;
}

}  // namespace

std::string percent_decode(std::string_view text, Plus plus) {
    const bool plain =
        text.find('%') == std::string_view::npos && (plus == Plus::literal || text.find('+') == std::string_view::npos);
    if (plain) return std::string(text);
    try {
        std::string encoded(text);
        // Poco takes a plus for a space only behind a question mark, which is not here any more.
        if (plus == Plus::space) std::ranges::replace(encoded, '+', ' ');
        std::string decoded;
        Poco::URI::decode(encoded, decoded, false);
        return decoded;
    } catch (const Poco::Exception&) {
        // Not repeated: what is malformed may be a token.
        throw Error(ErrorKind::invalid, "a '%' is not followed by two hexadecimal digits");
    }
}

std::string percent_encode(std::string_view text) {
    constexpr std::string_view unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    std::string encoded;
    encoded.reserve(text.size());
    for (const char c : text) {
        if (unreserved.find(c) != std::string_view::npos) {
            encoded += c;
        } else {
            fmt::format_to(std::back_inserter(encoded), "%{:02X}", static_cast<unsigned char>(c));
        }
    }
    return encoded;
}

Arguments parse_query(std::string_view text) {
    Arguments arguments;
    while (!text.empty()) {
        const std::size_t end = text.find('&');
        const std::string_view pair = text.substr(0, end);
        text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
        if (pair.empty()) continue;
        const std::size_t equals = pair.find('=');
        const std::string_view value = equals == std::string_view::npos ? std::string_view{} : pair.substr(equals + 1);
        append(arguments, percent_decode(pair.substr(0, equals), Plus::space), percent_decode(value, Plus::space));
    }
    return arguments;
}

std::string encode_query(const Arguments& arguments) {
    std::string query;
    for (const auto& [name, value] : arguments) {
        if (!query.empty()) query += '&';
        query += percent_encode(name) + '=' + percent_encode(value);
    }
    return query;
}

Arguments parse_multipart(std::string_view content_type, std::string_view body) {
    Arguments arguments;
    try {
        std::string type;
        Poco::Net::NameValueCollection attributes;
        Poco::Net::MessageHeader::splitParameters(std::string(content_type), type, attributes);
        const std::string boundary = attributes.get("boundary", "");
        // RFC 2046 has 70 characters at most; without one Poco would guess it from the body.
        if (boundary.empty() || boundary.size() > 70)
            throw Error(ErrorKind::invalid, "multipart body without a boundary");
        std::istringstream in{std::string(body)};
        Poco::Net::MultipartReader reader(in, boundary);
        while (reader.hasNextPart()) {
            Poco::Net::MessageHeader header;
            reader.nextPart(header);
            std::string disposition;
            Poco::Net::NameValueCollection fields;
            Poco::Net::MessageHeader::splitParameters(header.get("Content-Disposition", ""), disposition, fields);
            append(arguments, fields.get("name", ""), std::string(std::istreambuf_iterator<char>(reader.stream()), {}));
        }
    } catch (const Poco::Exception& fault) {
        throw Error(ErrorKind::invalid, fmt::format("multipart body: {}", escape_control(fault.displayText())));
    }
    return arguments;
}

Arguments parse_form(std::string_view content_type, std::string_view body) {
    const std::string_view type = media_type(content_type);
    if (body.empty()) return {};
    if (same_token(type, "application/x-www-form-urlencoded")) return parse_query(body);
    if (same_token(type, "multipart/form-data")) return parse_multipart(content_type, body);
    return {};
}

std::vector<std::string> path_segments(std::string_view target) {
    std::vector<std::string> segments;
    std::string_view path = target.substr(0, target.find('?'));
    while (!path.empty()) {
        const std::size_t slash = path.find('/');
        const std::string_view raw = path.substr(0, slash);
        path = slash == std::string_view::npos ? std::string_view{} : path.substr(slash + 1);
        if (raw.empty()) continue;
        std::string segment = percent_decode(raw);
        if (segment == "." || segment == ".." || has_control(segment)) {
            throw Error(ErrorKind::invalid, fmt::format("'{}' may not be part of a path", escape_control(segment)));
        }
        segments.push_back(std::move(segment));
    }
    return segments;
}

}  // namespace baton::net
