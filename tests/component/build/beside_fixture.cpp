// SPDX-License-Identifier: MIT
// The files of examples/strategies as an app, and users who never rest.
#include "tests/component/build/beside_fixture.h"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "agent/build/steps/health.h"
#include "common/error.h"
#include "common/file.h"
#include "common/process/hold.h"
#include "common/text.h"
#include "tests/support/eventually.h"

namespace baton::test {

namespace {

std::string example(const std::string& name) {
    return read_file(std::filesystem::path(SOURCE_DIR) / "examples/strategies" / name, 1 << 20);
}

}  // namespace

BesideFixture::BesideFixture(const std::string& pipeline) {
    const auto ports = free_ports(3);
    front = ports[0];
    own = {ports[1], ports[2]};
    for (const char* file : {"app.py", "uwsgi.ini", "nginx.conf"}) take(file, file);
    take(pipeline, "baton.yaml");
    replace("baton.yaml", "min_healthy_time: 3s", "min_healthy_time: 400ms");
    replace("baton.yaml", "healthy_deadline: 30s", "healthy_deadline: 15s");
    app.agent.traffic.settle = Milliseconds(500);
}

BesideFixture::~BesideFixture() {
    for (const char* colour : {"blue", "green"}) {
        try {
            process::end_held(app.agent.state_dir / "instances/shop", colour);
        } catch (const Error& error) {
            fmt::print(stderr, "{} is left: {}\n", colour, error.text());
        }
    }
}

void BesideFixture::take(const std::string& file, const std::string& as) { app.put(as, example(file)); }

void BesideFixture::replace(const std::string& file, const std::string& from, const std::string& to) {
    auto text = read_file(app.dir / "repo" / file, 1 << 20);
    INFO(file << " holds '" << from << "'");
    REQUIRE(text.find(from) != std::string::npos);
    for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
        text.replace(at, from.size(), to);
    }
    app.put(file, text);
}

build::SwitchResult BesideFixture::deploy(const build::SwitchOptions& options) {
    commit_ = app.commit();
    spec_ = app.spec(commit_);
    prepared_ = build::prepare(*spec_, app.listener, {});
    return build::switch_over(*spec_, prepared_->pipeline, prepared_->release, options, app.listener, {});
}

bool BesideFixture::healthy() const { return build::healthy_now(*spec_, prepared_->pipeline, {}); }

Users::Users(const std::string& base) {
    for (const char* path : {"/", "/", "/slow"}) {
        threads_.emplace_back([this, url = base + path](const std::stop_token& stop) { ask(url, stop); });
    }
}

Users::~Users() {
    for (auto& thread : threads_) thread.request_stop();
}

void Users::ask(const std::string& url, const std::stop_token& stop) {
    while (!stop.stop_requested()) {
        std::string failure;
        std::string body;
        try {
            const auto answer = build::ask_address(url, Milliseconds(30'000));
            body = answer.body;
            if (answer.status != 200) failure = fmt::format("status {}: {}", answer.status, body);
        } catch (const Error& error) {
            failure = error.text();
        }
        const std::lock_guard lock(mutex_);
        if (!failure.empty()) failures_.push_back(failure);
        if (failure.empty()) {
            const auto words = split(trim(body), ' ');
            ++versions_[words.front()];
            if (words.size() > 1) last_process_ = static_cast<int>(parse_whole(words[1]).value_or(0));
        }
        ++answers_;
    }
}

void Users::see_some() const {
    const auto before = answers_.load();
    REQUIRE(eventually([&] { return answers_.load() > before + 20; }));
}

std::vector<std::string> Users::failures() {
    for (auto& thread : threads_) thread.request_stop();
    for (auto& thread : threads_) {
        if (thread.joinable()) thread.join();
    }
    const std::lock_guard lock(mutex_);
    return failures_;
}

std::map<std::string, unsigned> Users::versions() const {
    const std::lock_guard lock(mutex_);
    return versions_;
}

int Users::last_process() const {
    const std::lock_guard lock(mutex_);
    return last_process_;
}

}  // namespace baton::test
