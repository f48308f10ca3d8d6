// SPDX-License-Identifier: MIT
// npm's `jenkins-api` against an agent: node jenkins_api.js URL-WITH-USER. One line for each call that went well.
"use strict";
const assert = require("node:assert");
const jenkins = require("jenkins-api").init(process.argv[2]);

function call(name, ...given) {
  return new Promise((resolve, reject) => {
    jenkins[name](...given, (error, value) => (error ? reject(error instanceof Error ? error : new Error(String(error))) : resolve(value)));
  });
}

async function went(name, ...given) {
  const value = await call(name, ...given);
  console.log(name);
  return value;
}

async function until(what, look) {
  for (let tries = 0; tries < 300; ++tries) {
    const value = await look();
    if (value) return value;
    await new Promise((wake) => setTimeout(wake, 100));
  }
  throw new Error(`not in time: ${what}`);
}

async function main() {
  const jobs = await went("all_jobs");
  assert.deepStrictEqual(jobs.map((job) => job.name), ["mini", "plain.job"]);
  const queued = await went("build", "plain.job");
  assert.ok(queued.queueId > 0, JSON.stringify(queued));
  const item = await until("a build", async () => {
    const left = await call("queue_item", queued.queueId);
    return left.executable && left;
  });
  console.log("queue_item");
  const number = item.executable.number;
  await until("its end", async () => (await call("build_info", "plain.job", number)).result === "SUCCESS");
  console.log("build_info");
  const again = await went("build_with_params", "mini", { TARGET: "production", DRY: "true" });
  assert.ok(again.queueId > queued.queueId);
  await until("its end", async () => {
    const left = await call("queue_item", again.queueId);
    return left.executable && (await call("build_info", "mini", left.executable.number)).result === "SUCCESS";
  });
  assert.match((await went("console_output", "mini", 1)).body, /Finished: SUCCESS/);
  assert.strictEqual((await went("test_result", "mini", 1)).passCount, 3);
  assert.strictEqual((await went("job_info", "mini")).color, "blue");
  assert.strictEqual((await went("last_build_info", "mini")).number, 1);
  assert.strictEqual((await went("last_completed_build_info", "mini")).number, 1);
  assert.strictEqual((await went("last_build_report", "mini")).number, 1);
  assert.strictEqual((await went("last_success", "mini")).number, 1);
  const builds = await went("all_builds", "mini");
  assert.deepStrictEqual(builds.map((build) => [build.id, build.result]), [["1", "SUCCESS"]]);
  assert.ok(builds[0].duration > 0 && builds[0].timestamp > 1.6e12);
  assert.deepStrictEqual((await went("queue")).items, []);
  assert.strictEqual((await went("computers")).computer.length, 1);
  assert.match(String(await went("get_config_xml", "mini")), /<project>/);
  await went("stop_build", "mini", 1);
  await went("disable_job", "mini");
  assert.strictEqual((await call("job_info", "mini")).color, "disabled");
  await went("enable_job", "mini");
  for (const [name, ...given] of [["create_job", "other", "<project/>"], ["delete_job", "mini"], ["copy_job", "mini", "other", (xml) => xml],
    ["delete_build", "mini", 1], ["create_view", "other"]]) {
    await assert.rejects(call(name, ...given), `${name} must be refused`);
    console.log(`${name} (refused)`);
  }
  assert.strictEqual((await call("all_jobs")).length, 2);
}

main().catch((error) => { console.error(error); process.exit(1); });
