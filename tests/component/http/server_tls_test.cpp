// SPDX-License-Identifier: MIT
// TLS between our client and our server: who is trusted, who is not, and new certificates without a restart.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fmt/format.h>
#include <functional>

#include "agent/http/server/server.h"
#include "certificates.h"
#include "common/error.h"
#include "common/net/http_client.h"
#include "raw_client.h"
#include "tests/support/eventually.h"
#include "tests/support/refusal.h"

using namespace baton;
using namespace baton::http;
using namespace std::chrono_literals;
using test::Issued;

namespace {

net::HttpResponse get(const Server& server, const net::ClientTls& tls) {
    net::HttpClientOptions options;
    options.tls = tls;
    return net::HttpClient(options).call({"GET", fmt::format("https://127.0.0.1:{}/x", server.port()), {}, {}, {}});
}

/// A connection that does not come about.
std::string refusal(const std::function<void()>& work) { return test::refusal(work, ErrorKind::unreachable); }

Response whoami(Request&& request) { return Response::text(request.base_url() + " " + request.certificate_subject); }

}  // namespace

TEST_CASE("tls: a client trusts the server's CA, and refuses any other") {
    const test::TempDir dir;
    test::TestAuthority ours(dir, "ours");
    test::TestAuthority theirs(dir, "theirs");
    const Issued web1 = ours.issue("web1");
    ServerOptions options;
    options.tls = ServerTls{web1.certificate, web1.key, std::nullopt};
    Server server(options, whoami);
    server.start();
    CHECK(get(server, {ours.certificate(), {}, {}}).body.starts_with("https://127.0.0.1:"));
    CHECK(refusal([&] { (void)get(server, {theirs.certificate(), {}, {}}); }).find("certificate") != std::string::npos);
    CHECK(refusal([&] { (void)get(server, {}); }).find("certificate") != std::string::npos);
    net::HttpClientOptions trusting;
    trusting.tls.ca_file = ours.certificate();
    const std::string by_name = fmt::format("https://localhost:{}/", server.port());
    CHECK(refusal([&] {
              (void)net::HttpClient(trusting).call({"GET", by_name, {}, {}, {}});
          }).find("localhost") != std::string::npos);
}

TEST_CASE("tls: with a client CA only its clients get in, and the handler knows who") {
    const test::TempDir dir;
    test::TestAuthority ours(dir, "ours");
    test::TestAuthority theirs(dir, "theirs");
    const Issued web1 = ours.issue("web1");
    const Issued web2 = ours.issue("web2");
    const Issued stranger = theirs.issue("stranger");
    ServerOptions options;
    options.tls = ServerTls{web1.certificate, web1.key, ours.certificate()};
    Server server(options, whoami);
    server.start();
    CHECK(get(server, {ours.certificate(), web2.certificate, web2.key}).body.ends_with(" CN=web2"));
    (void)refusal([&] { (void)get(server, {ours.certificate(), {}, {}}); });
    (void)refusal([&] { (void)get(server, {ours.certificate(), stranger.certificate, stranger.key}); });
    CHECK(server.counters().requests == 1);
}

TEST_CASE("tls: a new certificate is used after a reload, and a broken one leaves the old in use") {
    const test::TempDir dir;
    test::TestAuthority before(dir, "before");
    test::TestAuthority after(dir, "after");
    const Issued old_one = before.issue("old");
    const Issued new_one = after.issue("new");
    const auto live_certificate = dir / "live.crt";
    const auto live_key = dir / "live.key";
    const auto use = [&](const Issued& issued) {
        std::filesystem::copy_file(issued.certificate, live_certificate,
                                   std::filesystem::copy_options::overwrite_existing);
        std::filesystem::copy_file(issued.key, live_key, std::filesystem::copy_options::overwrite_existing);
    };
    use(old_one);
    ServerOptions options;
    options.tls = ServerTls{live_certificate, live_key, std::nullopt};
    Server server(options, whoami);
    server.start();
    CHECK(get(server, {before.certificate(), {}, {}}).status == 200);
    dir.write("live.crt", "broken");
    CHECK(test::refusal([&] { server.reload_tls(); }, ErrorKind::invalid).find("live.crt") != std::string::npos);
    CHECK(get(server, {before.certificate(), {}, {}}).status == 200);
    use(new_one);
    server.reload_tls();
    CHECK(get(server, {after.certificate(), {}, {}}).status == 200);
    (void)refusal([&] { (void)get(server, {before.certificate(), {}, {}}); });
    std::filesystem::permissions(live_key, std::filesystem::perms(0644));
    CHECK(test::refusal([&] { server.reload_tls(); }, ErrorKind::forbidden).find("live.key") != std::string::npos);
}

TEST_CASE("tls: a client that never greets is dropped at the header deadline") {
    const test::TempDir dir;
    test::TestAuthority ours(dir, "ours");
    const Issued web1 = ours.issue("web1");
    ServerOptions options;
    options.limits.header_deadline = 300ms;
    options.tls = ServerTls{web1.certificate, web1.key, std::nullopt};
    Server server(options, whoami);
    server.start();
    const test::RawClient silent(server.port());
    REQUIRE(test::eventually([&] { return server.counters().connections == 1; }));
    CHECK(test::eventually([&] { return server.counters().connections_now == 0; }));
}
