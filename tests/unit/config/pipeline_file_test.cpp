// SPDX-License-Identifier: MIT
// baton.yaml: what is read, and what whoever may push cannot say.
#include <catch2/catch.hpp>
#include <filesystem>

#include "common/config/load.h"
#include "common/file.h"
#include "tests/unit/config/samples.h"

using namespace baton;
using namespace baton::config;
using namespace std::chrono_literals;

namespace {

std::string pipeline_report(const std::string& text) {
    return test::report_of([&] { return parse_pipeline(text, "baton.yaml"); });
}

}  // namespace

TEST_CASE("pipeline: every key of baton.yaml is read") {
    const Pipeline pipeline = parse_pipeline(test::full_pipeline, "baton.yaml");
    CHECK(pipeline.warnings.empty());
    REQUIRE(pipeline.prepare.size() == 2);
    CHECK(pipeline.prepare[0].kind == Step::Kind::virtualenv);
    CHECK(pipeline.prepare[0].command == "requirements.txt");
    CHECK(pipeline.prepare[0].name == "virtualenv requirements.txt");
    CHECK(pipeline.prepare[1].name == "./manage.py collectstatic --noinput");
    const Step& test = pipeline.test.at(0);
    CHECK(test.name == "unit tests");
    CHECK(test.command == "set -e\n./manage.py test\n");
    CHECK(test.timeout == 10min);
    CHECK(test.env == std::map<std::string, std::string>{{"DEBUG", "0"}, {"LEVEL", "yes"}, {"EMPTY", ""}});
    CHECK(test.junit == std::vector<std::string>{"reports/*.xml"});
    CHECK(test.min_tests == 10U);
    CHECK(pipeline.has_once_steps());
    REQUIRE(pipeline.switch_over.has_value());
    CHECK(pipeline.switch_over->publish == Publish::symlink);
    CHECK(pipeline.switch_over->options.front == "http://${NODE_ADDRESS}:80/health");
    CHECK(pipeline.switch_over->options.ports == std::vector<unsigned>{8001, 8002});
    CHECK(pipeline.switch_over->restart.at(0).keep_processes);
    CHECK(pipeline.health->http == "http://${NODE_ADDRESS}:${PORT}/health");
    CHECK(pipeline.health->expect_body == "${GIT_COMMIT}");
    CHECK(pipeline.health->warm_up.size() == 2);
    CHECK(pipeline.artifacts.size() == 1);
}

TEST_CASE("pipeline: without switch it is a plain CI job") {
    const Pipeline pipeline = parse_pipeline("test:\n  - run: make check\n", "baton.yaml");
    CHECK_FALSE(pipeline.switch_over.has_value());
    CHECK_FALSE(pipeline.has_once_steps());
    CHECK(pipeline.test.at(0).timeout == 30min);
    CHECK(pipeline.warnings.empty());
}

TEST_CASE("pipeline: the effective pipeline reads back to the same values") {
    const Pipeline pipeline = parse_pipeline(test::full_pipeline, "baton.yaml");
    const std::string printed = to_yaml(pipeline);
    INFO(printed);
    const Pipeline again = parse_pipeline(printed, "printed.yaml");
    CHECK(to_yaml(again) == printed);
    CHECK(again.test.at(0).command == pipeline.test.at(0).command);
    CHECK(again.test.at(0).env == pipeline.test.at(0).env);
}

TEST_CASE("pipeline: commands survive printing whatever they hold") {
    for (const std::string command : {"  indented\n", "a: b # c", "echo \"x\"\n\techo y\n", "'", "echo é\n\n", "- x",
                                      "true", "123", "~", "null", "a\n b\n", "\na\n", "a\r\nb"}) {
        Step step;
        step.command = command;
        step.name.assign(1, 'x');
        Pipeline pipeline;
        pipeline.test.push_back(step);
        INFO(to_yaml(pipeline));
        CHECK(parse_pipeline(to_yaml(pipeline), "printed.yaml").test.at(0).command == command);
    }
}

TEST_CASE("pipeline: a step that is called after its command has a name without control characters") {
    const Pipeline pipeline = parse_pipeline("test: [{run: \"printf '\\e[31mred\\x0f'\"}]\n", "baton.yaml");
    CHECK(pipeline.test.at(0).command == "printf '\x1b[31mred\x0f'");
    CHECK(pipeline.test.at(0).name == "printf '\\x1b[31mred\\x0f'");
    CHECK_NOTHROW(parse_pipeline(to_yaml(pipeline), "printed.yaml"));
}

TEST_CASE("pipeline: all faults come in one report") {
    CHECK(pipeline_report(R"(prepare:
  - virtualenv: requirements.txt
    run: make
  - ./manage.py collectstatic
test:
  - {name: unit, timeout: 10}
  - {run: make check, once: true, keep_processes: true, min_tests: 3}
switch:
  strategy: blue_green
  shared: [../secrets]
  restart: systemctl restart shop
health:
  http: 127.0.0.1/health
  expect_status: 99
  min_healthy_time: 2m
  pasword: x
publish: symlink
)") == R"(baton.yaml:2:17: a step is either 'run' or 'virtualenv': make two of it
baton.yaml:4:5: step 2 of 'prepare' must be a map of keys and values, got './manage.py collectstatic'
baton.yaml:6:5: step 1 of 'test' has no 'run', expected a command (or 'virtualenv', a requirements file)
baton.yaml:6:27: 'timeout': '10' is not a duration (write 10m, 90s, 1h30m)
baton.yaml:7:29: 'once' belongs to 'migrate' only, not to 'test'
baton.yaml:7:51: 'keep_processes' belongs to 'stop', 'trial' and 'restart' only, not to 'test'
baton.yaml:7:68: 'min_tests' needs 'junit', the reports in which the tests are counted
baton.yaml:9:13: 'strategy: blue_green' needs 'ports' in 'options', exactly two different ones, got 0
baton.yaml:9:13: 'strategy: blue_green' needs 'upstream_file' in 'options', the file that tells the web server the live port
baton.yaml:9:13: 'strategy: blue_green' needs 'upstream_template' in 'options', its text, with ${PORT}
baton.yaml:9:13: 'strategy: blue_green' needs 'reload' in 'options', the command with which the web server reads it
baton.yaml:9:13: 'strategy: blue_green' needs 'process' in 'options', the app's command, or 'restart' and 'stop' steps that start and stop one of two (BATON_COLOR says which)
baton.yaml:10:3: 'shared' must hold relative paths without '.', '..' and '//', got '../secrets'
baton.yaml:11:12: 'restart' must be a list, got 'systemctl restart shop' (each item begins with '- ')
baton.yaml:13:9: 'http': '127.0.0.1/health' is not http://, https:// or fastcgi://
baton.yaml:13:9: 'http' must ask at ${PORT}: where the new release is, beside the one that users still see
baton.yaml:14:18: 'expect_status' must be a whole number of 100 to 599, got '99'
baton.yaml:15:21: 'healthy_deadline' (1m) must be longer than 'min_healthy_time' (2m): nothing could ever be healthy
baton.yaml:16:3: unknown key 'pasword' in 'health' (known: http, command, expect_status, expect_body, interval, timeout, min_healthy_time, healthy_deadline, warm_up)
baton.yaml:17:1: unknown key 'publish' in baton.yaml (known: prepare, test, migrate, switch, health, artifacts))");
}

TEST_CASE("pipeline: it cannot say anything of hosts, peers, limits or secrets") {
    for (const std::string key :
         {"chain", "security", "traffic", "apps", "state_dir", "run_as", "deploy_to", "executors"}) {
        CHECK(pipeline_report("test: [{run: make}]\n" + key + ": x\n").find("unknown key '" + key + "'") !=
              std::string::npos);
    }
    CHECK(pipeline_report("test: [{run: make, workdir: ../..}]\n").find("without '..'") != std::string::npos);
    CHECK(pipeline_report("test: [{run: make, env: {BATON_ROLLOUT: x}}]\n").find("the agent's own") !=
          std::string::npos);
    CHECK(pipeline_report("test: [{run: make, env: {\"A=B\": x}}]\n").find("is not the name of a variable") !=
          std::string::npos);
    CHECK(pipeline_report("test: &a [{run: make}]\nprepare: *a\n").find("anchor") != std::string::npos);
}

TEST_CASE("pipeline: variables of health are checked where the file is read") {
    const std::string head = "switch: {restart: [{run: ./r}]}\nhealth:\n";
    CHECK(pipeline_report(head + "  http: http://${NODE_ADRESS}:80/\n").find("did you mean 'NODE_ADDRESS'?") !=
          std::string::npos);
    CHECK(pipeline_report(head + "  http: http://${NODE_ADDRESS}:${PORT}/\n").find("unknown variable '${PORT}'") !=
          std::string::npos);
    CHECK(pipeline_report(head + "  http: http://${NODE_ADDRESS}:80/${APP}?${NODE_NAME}\n").empty());
    CHECK(pipeline_report(head + "  command: test \"$PORT\" = ${x}\n").empty());
    CHECK(pipeline_report(head + "  http: http://x/\n  command: true\n").find("either 'http' or 'command'") !=
          std::string::npos);
    CHECK(pipeline_report(head + "  interval: 1s\n").find("'health' has no 'http'") != std::string::npos);
}

TEST_CASE("pipeline: every recipe of examples/strategies is accepted, without a warning") {
    unsigned recipes = 0;
    for (const auto& entry :
         std::filesystem::directory_iterator(std::filesystem::path(SOURCE_DIR) / "examples/strategies")) {
        if (entry.path().extension() != ".yaml") continue;
        INFO(entry.path().string());
        const auto pipeline = parse_pipeline(read_file(entry.path(), 1 << 20), entry.path().filename().string());
        CHECK(pipeline.warnings.empty());
        const auto printed = to_yaml(pipeline);
        CHECK(to_yaml(parse_pipeline(printed, "printed.yaml")) == printed);
        ++recipes;
    }
    CHECK(recipes == 5);
}

TEST_CASE("pipeline: a strategy says what it needs, and what it has no use for") {
    const auto report = [](const std::string& over, const std::string& health = "http: 'http://x:${PORT}/'") {
        return pipeline_report("switch: {" + over + "}\nhealth: {" + health + "}\n");
    };
    const std::string held = "strategy: overlap, options: {listen: '127.0.0.1:80', process: exec x}";
    CHECK(report(held).empty());
    CHECK(report("strategy: overlap, options: {process: exec x}").find("needs 'listen'") != std::string::npos);
    CHECK(report("strategy: overlap, options: {listen: '127.0.0.1:80'}").find("needs 'process'") != std::string::npos);
    CHECK(report("strategy: overlap, options: {listen: '127.0.0.1:80', process: x --y}").find("'exec'") !=
          std::string::npos);
    CHECK(report(held + ", restart: [{run: x}]").find("either 'process'") != std::string::npos);
    CHECK(report(held + ", publish: rsync").find("side by side") != std::string::npos);
    CHECK(report(held, "http: http://x:80/").find("${PORT}") != std::string::npos);
    CHECK(report(held, "command: x").empty());
    CHECK(pipeline_report("switch: {" + held + "}\n").find("needs 'health'") != std::string::npos);
    const std::string untried = ", restart: [{run: x}], stop: [{run: y}]";
    const std::string steps = untried + ", trial: [{run: z}]";
    const std::string by_steps = "strategy: overlap, options: {ports: [1, 2]}";
    CHECK(report(by_steps + untried).find("needs 'trial' steps") != std::string::npos);
    CHECK(report(held + ", trial: [{run: z}]").find("makes the trial by itself") != std::string::npos);
    CHECK(report("restart: [{run: x}], trial: [{run: z}]", "command: x").find("'trial' belongs to 'strategy: overlap'") !=
          std::string::npos);
    // Made before agents asked for it: what runs can still be looked at and stopped.
    const auto kept = "switch: {" + by_steps + untried + "}\nhealth: {http: 'http://x:${PORT}/'}\n";
    CHECK(parse_pipeline(kept, "b", PipelineOf::kept_release).switch_over->trial.empty());
    CHECK(report("strategy: overlap, options: {ports: [1, 2]}" + steps).empty());
    CHECK(report("strategy: overlap, options: {ports: [1, 1]}" + steps).find("needs 'ports'") != std::string::npos);
    CHECK(report("strategy: overlap, options: {ports: [1, 2]}, restart: [{run: x}]").find("'stop'") !=
          std::string::npos);
    const std::string colours =
        "strategy: blue_green, options: {ports: [1, 2], upstream_template: '${PORT}', reload: r, "
        "process: exec x, upstream_file: ";
    CHECK(report(colours + "up.conf}").empty());
    CHECK(report(colours + "/etc/cron.d/x}").find("name of a file") != std::string::npos);
    CHECK(report(colours + "../x}").find("name of a file") != std::string::npos);
}

TEST_CASE("pipeline: what is allowed but hardly meant is warned of") {
    CHECK(parse_pipeline("switch: {restart: [{run: ./r}]}\n", "b").warnings.at(0).message.find("no 'health'") == 0);
    CHECK(parse_pipeline("switch: {publish: symlink}\nhealth: {command: \"true\"}\n", "b")
              .warnings.at(0)
              .message.find("no 'restart'") != std::string::npos);
    CHECK(parse_pipeline("artifacts: x\n", "b").warnings.at(0).message.find("nothing to do") == 0);
    CHECK(pipeline_report("migrate: [{run: x}]\n").find("'migrate' needs 'switch'") != std::string::npos);
}
