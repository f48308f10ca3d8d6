// SPDX-License-Identifier: MIT
// virtualenv: offline from wheels, cached by content, on PATH of what follows; and steps as another user.
#include <catch2/catch.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/build/build.h"
#include "common/error.h"
#include "common/file.h"
#include "common/process/process.h"
#include "tests/component/build/fixture.h"

using namespace baton;
using namespace baton::build;

namespace {

/// A wheel is a zip file with a few texts in it.
void make_wheel(const test::AppFixture& app, const std::string& version) {
    app.shell(
        "mkdir -p ../wheels && /usr/bin/python3 - " + version +
        " <<'END'\n"
        "import sys, zipfile\n"
        "version = sys.argv[1]\n"
        "info = f'greet-{version}.dist-info/'\n"
        "with zipfile.ZipFile(f'../wheels/greet-{version}-py3-none-any.whl', 'w') as wheel:\n"
        "    wheel.writestr('greet.py', f'version = \"{version}\"\\n')\n"
        "    wheel.writestr(info + 'METADATA', f'Metadata-Version: 2.1\\nName: greet\\nVersion: {version}\\n')\n"
        "    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: "
        "py3-none-any\\n')\n"
        "    wheel.writestr(info + 'RECORD', f'greet.py,,\\n{info}METADATA,,\\n{info}WHEEL,,\\n{info}RECORD,,\\n')\n"
        "END");
}

std::size_t cached(const test::AppFixture& app) {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(app.agent.state_dir / "cache/virtualenvs")) {
        count += entry.is_directory() ? 1 : 0;
    }
    return count;
}

}  // namespace

TEST_CASE("virtualenv: built offline from wheels, reused while its content is the same, and on PATH") {
    test::AppFixture app;
    make_wheel(app, "1.0");
    make_wheel(app, "2.0");
    app.agent.apps.begin()->second.wheels = app.dir / "wheels";
    const auto out = (app.dir / "out").string();
    app.put_pipeline(
        "prepare:\n  - virtualenv: requirements.txt\n  - run: python -c 'import greet, sys; print(greet.version, "
        "sys.prefix)' > " +
        out + "\n  - run: echo $VIRTUAL_ENV >> " + out + "\n");
    app.put("version", "one");
    app.put("requirements.txt", "-r base.txt\n");
    app.put("base.txt", "greet==1.0\n");
    const auto first = prepare(app.spec(app.commit()), app.listener, {});
    INFO(app.log());
    const auto said = read_file(out, 1'000);
    REQUIRE(said.starts_with("1.0 " + (app.agent.state_dir / "cache/virtualenvs").string()));
    app.put("other", "changed");
    (void)prepare(app.spec(app.commit()), app.listener, {});
    REQUIRE(read_file(out, 1'000) == said);
    REQUIRE(cached(app) == 1);
    REQUIRE(app.log().find("taken from the cache") != std::string::npos);
    app.put("base.txt", "greet==2.0\n");  // only an included file changes
    (void)prepare(app.spec(app.commit()), app.listener, {});
    REQUIRE(read_file(out, 1'000).starts_with("2.0 "));
    REQUIRE(cached(app) == 2);
    app.put("base.txt", "greet==3.0\n");
    REQUIRE_THROWS_AS(prepare(app.spec(app.commit()), app.listener, {}), Error);
    REQUIRE(app.log().find("pip install: exit status 1") != std::string::npos);
    app.put("requirements.txt", "-r ../../outside.txt\n");
    REQUIRE_THROWS_AS(prepare(app.spec(app.commit()), app.listener, {}), Error);
}

TEST_CASE("virtualenv: one that was cut off in the making is made anew, and an empty file needs no pip") {
    test::AppFixture app;
    app.put_pipeline("prepare:\n  - virtualenv: requirements.txt\n");
    app.put("version", "one");
    app.put("requirements.txt", "# nothing\n\n");
    (void)prepare(app.spec(app.commit()), app.listener, {});
    for (const auto& entry : std::filesystem::directory_iterator(app.agent.state_dir / "cache/virtualenvs")) {
        std::filesystem::remove(entry.path() / ".baton-complete");
        std::filesystem::remove(entry.path() / "bin/python");
    }
    (void)prepare(app.spec(app.commit()), app.listener, {});
    for (const auto& entry : std::filesystem::directory_iterator(app.agent.state_dir / "cache/virtualenvs")) {
        REQUIRE(std::filesystem::exists(entry.path() / "bin/python"));
    }
    REQUIRE(app.log().find("pip") == std::string::npos);
}

TEST_CASE("run_as: steps and files are the other user's, and an agent that is not root says so") {
    test::AppFixture app;
    app.agent.apps.begin()->second.run_as = "nobody";
    app.put("version", "one");
    app.put("requirements.txt", "# nothing\n");
    app.put_pipeline("prepare:\n  - virtualenv: requirements.txt\n  - run: id -un > who; echo $HOME:$USER >> who; "
                     "mktemp -p $WORKSPACE_TMP > /dev/null\n");
    const auto commit = app.commit();
    if (::geteuid() != 0) {
        REQUIRE_THROWS_AS(prepare(app.spec(commit), app.listener, {}), Error);
        return;
    }
    const auto prepared = prepare(app.spec(commit), app.listener, {});
    INFO(app.log());
    REQUIRE(read_file(prepared.release / "who", 100) == "nobody\n/nonexistent:nobody\n");
    const auto nobody = process::find_account("nobody");
    for (const auto& path : {prepared.release, prepared.release / "who", prepared.release / "version"}) {
        struct stat found {};
        REQUIRE(::lstat(path.c_str(), &found) == 0);
        REQUIRE(found.st_uid == nobody.uid);
    }
}
