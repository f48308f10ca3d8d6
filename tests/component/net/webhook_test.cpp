// SPDX-License-Identifier: MIT
// Webhook proofs, with the vectors that the forges publish, and their payloads.
#include "common/net/webhook.h"

#include <catch2/catch.hpp>
#include <functional>

#include "common/clock.h"
#include "common/error.h"
#include "common/net/form.h"
#include "common/net/push_event.h"

using namespace baton;
using namespace baton::net;

namespace {

const std::string secret = "It's a Secret to Everybody";
const std::string hello_hex = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
const WallTime now = from_epoch_ms(1'614'265'330'000);

ErrorKind kind_of(const std::function<void()>& work) {
    try {
        work();
    } catch (const Error& error) {
        return error.kind();
    }
    FAIL("no error");
    return ErrorKind::internal;
}

bool refused(const HeaderList& headers, std::string_view body, const std::vector<std::string>& secrets,
             WallTime when = now) {
    return kind_of([&] { (void)verify_webhook(headers, body, secrets, when); }) == ErrorKind::unauthorized;
}

}  // namespace

TEST_CASE("webhook: the published vectors of GitHub, Gitea and Bitbucket hold, and nothing near them") {
    const HeaderList github{{"X-Hub-Signature-256", "sha256=" + hello_hex}};
    CHECK(verify_webhook(github, "Hello, World!", {secret}, now) == WebhookProof::hub_signature_256);
    CHECK(verify_webhook(github, "Hello, World!", {"newer", secret}, now) == WebhookProof::hub_signature_256);
    CHECK(refused(github, "Hello, World", {secret}));
    CHECK(refused(github, "Hello, World!", {"other"}));
    CHECK(refused({{"X-Hub-Signature-256", hello_hex}}, "Hello, World!", {secret}));
    CHECK(refused({{"X-Hub-Signature-256", "sha256="}}, "Hello, World!", {secret}));
    CHECK(refused({{"X-Hub-Signature-256", "sha256=" + hello_hex.substr(2)}}, "Hello, World!", {secret}));

    CHECK(verify_webhook({{"X-Gitea-Signature", hello_hex}}, "Hello, World!", {secret}, now) ==
          WebhookProof::gitea_signature);
    CHECK(verify_webhook({{"X-Gogs-Signature", hello_hex}}, "Hello, World!", {secret}, now) ==
          WebhookProof::gitea_signature);
    CHECK(verify_webhook({{"X-Forgejo-Signature", hello_hex}}, "Hello, World!", {secret}, now) ==
          WebhookProof::gitea_signature);
    CHECK(refused({{"X-Gitea-Signature", ""}}, "Hello, World!", {secret}));

    const HeaderList bitbucket{
        {"X-Hub-Signature", "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"}};
    CHECK(verify_webhook(bitbucket, "Hello World!", {secret}, now) == WebhookProof::hub_signature);
    CHECK(refused({{"X-Hub-Signature", "sha1=a4771c39fbe90f317c7824e83ddef3caae9cb3d9"}}, "Hello World!", {secret}));
}

TEST_CASE("webhook: Standard Webhooks hold within five minutes, with one of several signatures") {
    const std::string key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const std::string good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const std::string body = R"({"test": 2432232314})";
    const auto headers = [](const std::string& signature, const std::string& stamp = "1614265330") {
        return HeaderList{{"webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"},
                          {"webhook-timestamp", stamp},
                          {"webhook-signature", signature}};
    };
    CHECK(verify_webhook(headers(good), body, {key}, now) == WebhookProof::standard_webhook);
    CHECK(verify_webhook(headers("v1a,xxxx v1,AAAA " + good), body, {"other", key}, now) ==
          WebhookProof::standard_webhook);
    CHECK(verify_webhook(headers(good), body, {key}, now + std::chrono::seconds(300)) ==
          WebhookProof::standard_webhook);
    CHECK(refused(headers(good), body, {key}, now + std::chrono::seconds(301)));
    CHECK(refused(headers(good), body, {key}, now - std::chrono::seconds(301)));
    CHECK(refused(headers(good), body + " ", {key}));
    CHECK(refused(headers(good, "1614265331"), body, {key}));
    CHECK(refused(headers(good, "soon"), body, {key}));
    CHECK(refused(headers(good, "1614265339999999990"), body, {key}));
    CHECK(refused(headers("v1,"), body, {key}));
}

TEST_CASE("webhook: GitLab's token is compared, and an empty secret is none") {
    CHECK(verify_webhook({{"X-Gitlab-Token", "tok"}}, "x", {"tok"}, now) == WebhookProof::gitlab_token);
    CHECK(refused({{"X-Gitlab-Token", "tokk"}}, "x", {"tok"}));
    CHECK(refused({{"X-Gitlab-Token", ""}}, "x", {"tok"}));
    CHECK(refused({}, "x", {"tok"}));
    CHECK(kind_of([] { (void)verify_webhook({{"X-Gitlab-Token", ""}}, "x", {""}, now); }) == ErrorKind::invalid);
    CHECK(kind_of([] {
              (void)verify_webhook({{"X-Gitlab-Token", "tok"}}, "x", {"tok", ""}, now);
          }) == ErrorKind::invalid);
    CHECK(kind_of([] { (void)verify_webhook({{"X-Gitlab-Token", "tok"}}, "x", {}, now); }) == ErrorKind::invalid);
    CHECK(token_matches("a", {"b", "a"}));
    CHECK_FALSE(token_matches("", {""}));
    CHECK_FALSE(token_matches("a", {}));
}

TEST_CASE("push event: GitHub's push as JSON and as a form, its ping, and a deleted branch") {
    const std::string sha(40, 'a');
    const std::string payload =
        R"({"ref":"refs/heads/main","before":")" + std::string(40, '0') + R"(","after":")" + sha +
        R"(","deleted":false,"repository":{"url":"https://api.github.com/repos/o/r","clone_url":"https://github.com/o/r.git","ssh_url":"git@github.com:o/r.git"},"pusher":{"name":"ann"}})";
    const HeaderList headers{
        {"X-GitHub-Event", "push"}, {"X-GitHub-Delivery", "d1"}, {"Content-Type", "application/json"}};
    const PushEvent event = parse_push_event(headers, payload);
    CHECK(event.forge == Forge::github);
    CHECK(event.is_push);
    REQUIRE(event.changes.size() == 1);
    CHECK(event.changes[0].name == "main");
    CHECK(event.changes[0].commit == CommitId(sha));
    CHECK(event.pusher == "ann");
    CHECK(event.delivery_id == "d1");
    CHECK(names_repository(event, "ssh://git@github.com:22/o/r"));
    CHECK(names_repository(event, "https://user:pw@GitHub.com/o/r.git/"));
    CHECK_FALSE(names_repository(event, "https://github.com/o/r2.git"));

    const HeaderList form{{"X-GitHub-Event", "push"}, {"Content-Type", "application/x-www-form-urlencoded"}};
    CHECK(parse_push_event(form, "payload=" + percent_encode(payload)).changes.at(0).name == "main");
    CHECK(kind_of([&] { (void)parse_push_event(form, "other=1"); }) == ErrorKind::invalid);

    const PushEvent ping = parse_push_event({{"X-GitHub-Event", "ping"}}, R"({"zen":"x"})");
    CHECK(ping.is_ping);
    CHECK(ping.changes.empty());

    const std::string gone =
        R"({"ref":"refs/tags/v1","after":")" + std::string(40, '0') + R"(","deleted":true,"repository":{}})";
    const PushEvent deleted = parse_push_event(headers, gone);
    CHECK(deleted.changes.at(0).kind == RefKind::tag);
    CHECK(deleted.changes.at(0).deleted);
    CHECK(deleted.changes.at(0).commit.empty());
}

TEST_CASE("push event: GitLab, Gitea and Bitbucket say the same in their own words") {
    const std::string sha(40, 'b');
    const PushEvent gitlab = parse_push_event(
        {{"X-Gitlab-Event", "Push Hook"}, {"Idempotency-Key", "k"}},
        R"({"ref":"refs/heads/feature/x","after":")" + sha + R"(","checkout_sha":")" + sha +
            R"(","user_username":"bo","project":{"git_http_url":"https://gitlab.com/g/p.git","git_ssh_url":"git@gitlab.com:g/p.git"}})");
    CHECK(gitlab.changes.at(0).name == "feature/x");
    CHECK(gitlab.changes.at(0).commit == CommitId(sha));
    CHECK(gitlab.pusher == "bo");
    CHECK(gitlab.delivery_id == "k");
    CHECK(names_repository(gitlab, "git@gitlab.com:g/p.git"));

    const PushEvent gitea = parse_push_event(
        {{"X-GitHub-Event", "push"}, {"X-Gitea-Event", "push"}, {"X-Gitea-Delivery", "u"}},
        R"({"ref":"refs/heads/main","after":")" + sha +
            R"(","repository":{"clone_url":"http://gitea.local:3000/o/r.git"},"pusher":{"login":"cy"}})");
    CHECK(gitea.forge == Forge::gitea);
    CHECK(gitea.pusher == "cy");
    CHECK(names_repository(gitea, "http://gitea.local:3000/o/r"));

    const PushEvent bitbucket =
        parse_push_event({{"X-Event-Key", "repo:push"}, {"X-Request-UUID", "q"}},
                         R"({"actor":{"nickname":"di"},"repository":{"full_name":"t/r"},"push":{"changes":[
           {"new":{"type":"branch","name":"main","target":{"hash":")" +
                             sha + R"("}},"old":null},
           {"new":null,"old":{"type":"branch","name":"gone"}}]}})");
    REQUIRE(bitbucket.changes.size() == 2);
    CHECK(bitbucket.changes[0].commit == CommitId(sha));
    CHECK(bitbucket.changes[1].deleted);
    CHECK(names_repository(bitbucket, "git@bitbucket.org:t/r.git"));
}

TEST_CASE(
    "push event: of a sender that is no forge only the delivery is read; a system hook says in its payload what it "
    "is") {
    const PushEvent other = parse_push_event({{"webhook-id", "m1"}}, "not json");
    CHECK(other.forge == Forge::unknown);
    CHECK(other.delivery_id == "m1");
    CHECK(other.changes.empty());
    const auto system = [](const std::string& kind) {
        return parse_push_event({{"X-Gitlab-Event", "System Hook"}},
                                R"({"object_kind":")" + kind + R"(","ref":"refs/heads/main"})");
    };
    CHECK(system("push").changes.at(0).name == "main");
    CHECK_FALSE(system("project_create").is_push);
}

TEST_CASE("push event: a payload that is not what its event says is invalid") {
    const auto invalid = [](const HeaderList& headers, std::string_view body) {
        return kind_of([&] { (void)parse_push_event(headers, body); }) == ErrorKind::invalid;
    };
    CHECK(invalid({{"X-GitHub-Event", "push"}}, "[]"));
    CHECK(invalid({{"X-GitHub-Event", "push"}}, "{}"));
    CHECK(invalid({{"X-GitHub-Event", "push"}}, R"({"ref":7})"));
    CHECK(invalid({{"X-GitHub-Event", "push"}}, R"({"ref":"main"})"));
    CHECK(invalid({{"X-Event-Key", "repo:push"}}, R"({"push":{"changes":{}}})"));
    CHECK(invalid({{"X-Gitlab-Event", "Push Hook"}}, "not json"));
}
