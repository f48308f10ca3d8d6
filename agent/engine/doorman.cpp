// SPDX-License-Identifier: MIT
// What the load balancer is told outside of switches.
#include "agent/engine/doorman.h"

#include <fmt/format.h>

#include "agent/build/steps/build_log.h"
#include "agent/build/traffic/traffic.h"
#include "common/error.h"
#include "common/log.h"

namespace baton::engine {

Doorman::Doorman(const config::AgentConfig& config, const config::App& app, std::function<build::BuildSpec()> spec,
                 std::filesystem::path log, Milliseconds again_after)
    : config_(config), app_(app), spec_(std::move(spec)), log_(std::move(log)), again_after_(again_after) {
    if (!build::must_be_told(config_.traffic_of(app_).method)) return;
    thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
}

void Doorman::keep_out(bool out) {
    if (!thread_.joinable()) return;
    {
        const std::lock_guard lock(mutex_);
        wish_ = out;
        ++wishes_;
        trouble_.clear();
    }
    wake_.notify_all();
}

void Doorman::withdraw() {
    const std::lock_guard lock(mutex_);
    wish_.reset();
    ++wishes_;
    trouble_.clear();
}

bool Doorman::told() const {
    const std::lock_guard lock(mutex_);
    return !wish_.has_value();
}

std::string Doorman::trouble() const {
    const std::lock_guard lock(mutex_);
    return trouble_;
}

void Doorman::stop() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
}

Doorman::Door Doorman::hold() {
    std::unique_lock lock(mutex_);
    ++held_;
    telling_.request_stop();
    wake_.wait(lock, [&] { return !speaking_; });
    return Door(*this);
}

void Doorman::give_back() {
    {
        const std::lock_guard lock(mutex_);
        --held_;
    }
    wake_.notify_all();
}

void Doorman::work(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (wake_.wait(lock, stop, [&] { return wish_.has_value() && held_ == 0; })) {
        const bool out = *wish_;
        const auto number = wishes_;
        speaking_ = true;
        telling_ = std::stop_source();
        lock.unlock();
        std::string trouble;
        {
            const std::stop_callback forward(stop, [this] { telling_.request_stop(); });
            trouble = tell(out, telling_.get_token());
        }
        lock.lock();
        speaking_ = false;
        wake_.notify_all();
        if (wishes_ != number || telling_.stop_requested()) continue;
        if (trouble.empty()) {
            wish_.reset();
            log::info("traffic",
                      out ? "the load balancer is told to send nothing here" : "the load balancer is told to send here",
                      {{"app", app_.name}});
        } else if (trouble_ != trouble) {
            log::warning("traffic", "the load balancer could not be told, and is told again",
                         {{"app", app_.name}, {"reason", trouble}});
        }
        trouble_ = trouble;
        if (!trouble.empty()) wake_.wait_for(lock, stop, again_after_, [&] { return wishes_ != number; });
    }
}

std::string Doorman::tell(bool out, const std::stop_token& stop) const {
    try {
        auto spec = spec_();
        std::filesystem::remove(log_);
        build::BuildLog log(log_, app_.max_log_bytes, spec.secrets);
        const auto traffic = build::make_traffic(spec, log);
        const auto noticed = out ? traffic->leave(stop) : traffic->rejoin(stop);
        if (noticed == build::Noticed::yes) return {};
        return fmt::format("{} did not follow", traffic->describe());
    } catch (const Error& error) {
        return error.text();
    } catch (const std::filesystem::filesystem_error& error) {
        return error.what();
    }
}

}  // namespace baton::engine
