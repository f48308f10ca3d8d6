// SPDX-License-Identifier: MIT
// The built-in step `virtualenv:`.
#include "agent/build/steps/virtualenv.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/digest.h"
#include "common/error.h"
#include "common/file.h"
#include "common/text.h"

namespace baton::build {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t most_requirements_bytes = 1024 * 1024;
constexpr auto unused_for = std::chrono::hours(24 * 30);
constexpr const char* marker_name = ".baton-complete";
/// pip of the system installs into the virtualenv from outside: a pip of its own would cost 4 s each.
constexpr const char* system_python = "/usr/bin/python3";

/// Does it name anything to install? Comments and blank lines do not.
bool names_anything(std::string_view requirements) {
    for (const auto& line : split(requirements, '\n')) {
        const auto text = trim(line);
        if (!text.empty() && !text.starts_with('#')) return true;
    }
    return false;
}

/// Content of the file and of those that it includes with `-r` or `-c`, since their change is a change.
std::string content_with_includes(const fs::path& workspace, const fs::path& file, unsigned depth) {
    if (depth > 8) throw Error(ErrorKind::step_failed, "requirements files include each other too deep");
    std::error_code failed;
    const auto real = fs::weakly_canonical(file, failed);
    const auto inside = fs::weakly_canonical(workspace, failed);
    if (failed || real.lexically_relative(inside).string().starts_with("..")) {
        throw Error(ErrorKind::step_failed, fmt::format("{} leads out of the workspace", file.filename().string()));
    }
    std::string content;
    try {
        content = read_file(real, most_requirements_bytes);
    } catch (const Error& error) {
        throw Error(ErrorKind::step_failed, error.text());
    }
    std::string all = content;
    for (const auto& line : split(content, '\n')) {
        auto text = trim(line);
        for (const std::string_view option : {"-r", "--requirement", "-c", "--constraint"}) {
            if (!text.starts_with(option) || text.size() == option.size()) continue;
            const auto next = text[option.size()];
            if (next != ' ' && next != '=' && next != '\t') continue;
            const auto included = trim(text.substr(option.size() + 1));
            all += content_with_includes(workspace, file.parent_path() / fs::path(included), depth + 1);
        }
    }
    return all;
}

std::vector<std::string> pip_environment(const BuildSpec& spec, const StepContext& context, const config::Step& step) {
    auto extra = step.env;
    // The machine's pip.conf may add indexes and links; what is installed is the repository's word alone.
    extra["PIP_CONFIG_FILE"] = "/dev/null";
    extra["PIP_DISABLE_PIP_VERSION_CHECK"] = "1";
    extra["PIP_NO_INPUT"] = "1";
    extra["PYTHONDONTWRITEBYTECODE"] = "1";
    return step_environment(spec, context, extra);
}

void check(const process::Result& result, std::string_view what) {
    if (!result.ok()) throw Error(ErrorKind::step_failed, fmt::format("{}: {}", what, result.describe()));
}

std::string interpreter_version(const config::Step& step, const std::vector<std::string>& environment,
                                const std::optional<process::Account>& account, const std::stop_token& stop) {
    process::Command command;
    command.argv = {step.python, "-c", "import sys; print(sys.version)"};
    command.environment = environment;
    command.account = account;
    command.timeout = Milliseconds(30'000);
    const auto version = process::capture(command, stop, 4'096);
    if (version.result.end == process::Result::End::cancelled) throw Error(ErrorKind::cancelled, "cancelled");
    if (!version.result.ok()) {
        throw Error(ErrorKind::step_failed, fmt::format("the interpreter {}: {} {}", step.python,
                                                        version.result.describe(), first_line(version.output)));
    }
    return version.output;
}

void touch(const fs::path& path) {
    std::error_code ignored;
    fs::last_write_time(path, fs::file_time_type::clock::now(), ignored);
}

}  // namespace

fs::path make_virtualenv(StepRunner& runner, const config::Step& step, const std::stop_token& stop) {
    const auto& spec = runner.spec();
    const auto base = step.workdir.empty() ? spec.workspace : spec.workspace / step.workdir;
    const auto file = base / step.command;
    const auto content = content_with_includes(spec.workspace, file, 0);
    StepContext context;
    const auto environment = pip_environment(spec, context, step);
    const auto version = interpreter_version(step, environment, runner.account(), stop);
    const auto wheels = spec.app->wheels ? spec.app->wheels->string() : std::string();
    const auto hash =
        sha256_hex(fmt::format("{}\n{}\n{}\n{}\n{}", step.python, version, wheels, spec.app->run_as, content));

    const auto folder = spec.cache / "virtualenvs";
    const auto venv = folder / hash.substr(0, 32);
    fs::create_directories(folder);
    if (runner.account()) {
        // Made by the app's account, since pip may run code of the packages; only the folder itself changes hands.
        if (::chown(folder.c_str(), runner.account()->uid, runner.account()->gid) != 0) {
            throw system_error(fmt::format("give {} to {}", folder.string(), runner.account()->name), errno);
        }
    }
    const auto lock = FileLock::wait(spec.cache / "virtualenvs.lock");
    if (fs::exists(venv / marker_name)) {
        touch(venv / marker_name);
        runner.log().line("virtualenv: unchanged, taken from the cache");
        return venv;
    }
    remove_tree(venv);
    check(runner.tool({step.python, "-m", "venv", "--system-site-packages", "--without-pip", venv.string()},
                      environment, base, step.timeout, build_priority(*runner.spec().agent), stop),
          "python3 -m venv");
    if (names_anything(content)) {
        std::vector<std::string> pip{system_python, "-m", "pip",        "--python", (venv / "bin/python").string(),
                                     "install",     "-r", file.string()};
        if (spec.app->wheels) pip.insert(pip.end(), {"--no-index", "--find-links", wheels});
        check(runner.tool(pip, environment, base, step.timeout, build_priority(*runner.spec().agent), stop),
              "pip install");
    }
    write_file_atomically(venv / marker_name, hash + "\n");
    return venv;
}

void prune_virtualenvs(const fs::path& cache, const std::vector<fs::path>& keep) {
    const auto folder = cache / "virtualenvs";
    if (!fs::is_directory(folder)) return;
    const auto lock = FileLock::wait(cache / "virtualenvs.lock");
    const auto oldest = fs::file_time_type::clock::now() - unused_for;
    for (const auto& entry : fs::directory_iterator(folder)) {
        if (std::ranges::find(keep, entry.path()) != keep.end()) continue;
        std::error_code failed;
        const auto used = fs::last_write_time(entry.path() / marker_name, failed);
        if (!failed && used < oldest) remove_tree(entry.path());
    }
}

}  // namespace baton::build
