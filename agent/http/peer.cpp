// SPDX-License-Identifier: MIT
// What agents ask each other.
#include "agent/http/peer.h"

#include "common/error.h"

namespace baton::http {

Response handle_peer(operations::Peers& peers, const NodeName& from, const Request& request) {
    const auto& path = request.path;
    if (request.method != "POST") {
        Response response = Response::json_error(ErrorKind::invalid, "use POST");
        response.status = 405;
        response.headers.set("Allow", "POST");
        return response;
    }
    if (path.size() == 4 && path[2] == "chain") {
        return Response::json_text(peers.exchange(AppName(path[3]), from, request.remote_address, request.body), 202);
    }
    if (path.size() == 4 && path[2] == "pack") {
        return Response::content("application/x-git-pack", peers.pack(AppName(path[3]), request.body));
    }
    throw Error(ErrorKind::not_found, "a peer may ask nothing of this name; is it a newer version?");
}

Response handle_handoff(operations::Peers& peers, const NodeName& from, const AppName& app, const Request& request) {
    return Response::json_text(peers.handoff(app, from, request.remote_address, request.body), 202);
}

}  // namespace baton::http
