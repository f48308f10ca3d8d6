// SPDX-License-Identifier: MIT
// The command line called as main calls it.
#include "tests/component/cli/cli_harness.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "common/net/http_client.h"

extern char** environ;  // NOLINT: POSIX declares it nowhere

namespace baton::test {
namespace {

/// One of the standard descriptors, sent to a file while the object lives.
class Caught {
  public:
    explicit Caught(int descriptor) : descriptor_(descriptor), before_(::dup(descriptor)), file_(std::tmpfile()) {
        if (file_ == nullptr || !before_) throw std::runtime_error("cannot catch the output");
        ::dup2(::fileno(file_), descriptor_);
    }
    Caught(const Caught&) = delete;
    Caught& operator=(const Caught&) = delete;
    ~Caught() {
        give_back();
        std::fclose(file_);
    }
    std::string take() {
        give_back();
        std::string text;
        std::rewind(file_);
        std::array<char, 4096> piece{};
        while (const auto read = std::fread(piece.data(), 1, piece.size(), file_)) text.append(piece.data(), read);
        return text;
    }

  private:
    void give_back() {
        if (!before_) return;
        std::fflush(stdout);
        std::fflush(stderr);
        ::dup2(before_.get(), descriptor_);
        before_.reset();
    }
    int descriptor_;
    Fd before_;
    std::FILE* file_;
};

}  // namespace

CliResult baton_cli(const std::vector<std::string>& arguments, const cli::AgentMain& agent_main) {
    std::vector<std::string> words{"baton"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    std::fflush(stdout);
    std::fflush(stderr);
    CliResult result;
    Caught out(STDOUT_FILENO);
    Caught err(STDERR_FILENO);
    result.status = cli::run_cli(static_cast<int>(words.size()), argv.data(), agent_main);
    // CLI11 prints help to std::cout, which writes through stdout.
    std::fflush(stdout);
    result.out = out.take();
    result.err = err.take();
    return result;
}

CliResult with_input(const std::string& text, const std::function<CliResult()>& run) {
    const Fd before(::dup(STDIN_FILENO));
    std::FILE* file = std::tmpfile();
    if (file == nullptr || !before) throw std::runtime_error("cannot give an input");
    std::fputs(text.c_str(), file);
    std::rewind(file);
    ::dup2(::fileno(file), STDIN_FILENO);
    std::fclose(file);
    auto result = run();
    ::dup2(before.get(), STDIN_FILENO);
    return result;
}

Variable::Variable(const char* name, const std::string& value) : name_(name) { ::setenv(name, value.c_str(), 1); }
Variable::~Variable() { ::unsetenv(name_); }

FakeAgent::FakeAgent() {
    std::array<int, 2> to{};
    std::array<int, 2> from{};
    if (::pipe2(to.data(), O_CLOEXEC) != 0 || ::pipe2(from.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    Fd to_read(to[0]);
    input_ = Fd(to[1]);
    Fd from_read(from[0]);
    Fd from_write(from[1]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to_read.get(), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, from_write.get(), STDOUT_FILENO);
    std::string program = "/usr/bin/python3";
    std::string script = SOURCE_DIR "/tests/component/cli/fake_agent.py";
    std::array<char*, 3> argv{program.data(), script.data(), nullptr};
    const int failed = posix_spawn(&pid_, program.c_str(), &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) throw std::runtime_error("cannot start python3");
    from_write.reset();
    char letter = 0;
    while (::read(from_read.get(), &letter, 1) == 1 && letter != '\n') port_ += letter;
    if (port_.empty()) throw std::runtime_error("the fake agent did not start");
}

FakeAgent::~FakeAgent() {
    input_.reset();
    int status = 0;
    ::waitpid(pid_, &status, 0);
}

std::string FakeAgent::url() const { return "http://127.0.0.1:" + port_; }

json::Value FakeAgent::requests() const {
    net::HttpRequest request;
    request.url = url() + "/requests";
    return json::parse(net::HttpClient().call(request).body).at("requests");
}

}  // namespace baton::test
