// SPDX-License-Identifier: MIT
// A build's log over HTTP.
#include "agent/http/log_response.h"

#include <algorithm>
#include <fmt/format.h>

#include "common/error.h"
#include "common/text.h"

namespace baton::http {
namespace {

constexpr std::size_t piece_bytes = 256UL * 1024;
constexpr std::uint64_t longest_wait_s = 30;

std::uint64_t number_arg(const Request& request, std::string_view name) {
    const auto text = request.arg(name);
    if (!text || text->empty()) return 0;
    const auto value = parse_whole(*text);
    if (!value) throw Error(ErrorKind::invalid, fmt::format("'{}' must be a whole number", name));
    return *value;
}

Response with_position(Response response, const operations::LogPiece& piece) {
    response.headers.set("X-Text-Size", std::to_string(piece.next));
    if (piece.more) response.headers.set("X-More-Data", "true");
    return response;
}

}  // namespace

Response log_response(operations::Operations& operations, const AppName& app, unsigned number, const Request& request) {
    const auto start = number_arg(request, "start");
    const Milliseconds wait{1000 * static_cast<std::int64_t>(std::min(number_arg(request, "wait"), longest_wait_s))};
    auto piece = operations.log(app, number, start, piece_bytes, Milliseconds{0}, {});
    if (!piece.bytes.empty() || !piece.more || wait.count() == 0) {
        std::string bytes = std::move(piece.bytes);
        return with_position(Response::text(std::move(bytes)), piece);
    }
    // A follower that waits holds a place among the streams, not one of those that answer requests; its position
    // cannot be told in a header any more, so it asks again from `start` plus what it got.
    Response response =
        Response::streamed("text/plain;charset=UTF-8", [&operations, app, number, start, wait](Writer& writer) {
            const auto more = operations.log(app, number, start, piece_bytes, wait, writer.stopping());
            return more.bytes.empty() || writer.write(more.bytes);
        });
    response.headers.set("X-More-Data", "true");
    return response;
}

}  // namespace baton::http
