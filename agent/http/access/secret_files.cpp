// SPDX-License-Identifier: MIT
// The secrets of the apps' triggers.
#include "agent/http/access/secret_files.h"

#include "common/error.h"
#include "common/file.h"
#include "common/log.h"

namespace baton::http {

std::optional<std::string> SecretFiles::read(const std::filesystem::path& file) {
    std::string fault;
    try {
        std::string secret = read_secret_file(file);
        const std::lock_guard lock(mutex_);
        if (faults_.erase(file) > 0)
            log::info("access", "a trigger's secret can be read again", {{"file", file.string()}});
        return secret;
    } catch (const Error& error) {
        fault = error.text();
    }
    const std::lock_guard lock(mutex_);
    auto& told = faults_[file];
    if (told != fault) {
        log::error("access", "a trigger's secret cannot be read; who comes with it is refused",
                   {{"file", file.string()}, {"reason", fault}});
        told = fault;
    }
    return std::nullopt;
}

}  // namespace baton::http
