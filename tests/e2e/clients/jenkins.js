// SPDX-License-Identifier: MIT
// npm's `jenkins` against an agent: node jenkins.js URL-WITH-USER NODE-NAME. One line for each call that went well.
"use strict";
const assert = require("node:assert");
const Jenkins = require("jenkins");

const [baseUrl, nodeName] = process.argv.slice(2);
const jenkins = new Jenkins({ baseUrl });

async function went(name, call, look = () => {}) {
  const value = await call;
  look(value);
  console.log(name);
  return value;
}

async function refused(name, call, status) {
  await assert.rejects(call, (error) => {
    assert.match(String(error.message), /jenkins: /);
    assert.strictEqual(error.response && error.response.statusCode, status, `${name}: ${error.message}`);
    return true;
  });
  console.log(name);
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
  await went("info", jenkins.info(), (info) => assert.strictEqual(info.mode, "NORMAL"));
  await went("crumbIssuer.get", jenkins.crumbIssuer.get(), (crumb) => assert.match(crumb.crumb, /^[0-9a-f]{64}$/));
  await went("job.list", jenkins.job.list(), (jobs) => assert.deepStrictEqual(jobs.map((job) => job.name), ["mini", "plain.job"]));
  await went("job.exists", jenkins.job.exists("mini"), (there) => assert.strictEqual(there, true));
  await went("job.exists (no)", jenkins.job.exists("nothing"), (there) => assert.strictEqual(there, false));
  await went("job.get", jenkins.job.get("mini"), (job) => assert.strictEqual(job.nextBuildNumber, 1));
  await assert.rejects(jenkins.job.get("nothing"), (error) => error.notFound === true);
  console.log("job.get (no)");

  const item = await went("job.build", jenkins.job.build({ name: "mini", parameters: { TARGET: "naïve & sons", LEVEL: "high" } }),
    (id) => assert.ok(Number.isInteger(id) && id > 0));
  const number = await until("the queue item has a build", async () => {
    const left = await jenkins.queue.item(item);
    return left.executable && left.executable.number;
  });
  console.log("queue.item");
  let log = "";
  await new Promise((resolve, reject) => {
    const stream = jenkins.build.logStream({ name: "mini", number, delay: 100 });
    stream.on("data", (text) => { log += text; });
    stream.on("error", reject);
    stream.on("end", resolve);
  });
  assert.match(log, /^Started by user demo\n/);
  assert.match(log, /Finished: SUCCESS\n$/);
  console.log("build.logStream");
  await went("build.log", jenkins.build.log("mini", number), (text) => assert.strictEqual(text, log));
  await went("build.log (meta)", jenkins.build.log({ name: "mini", number, start: 5, meta: true }), (piece) => {
    assert.strictEqual(piece.more, false);
    assert.strictEqual(Number(piece.size), Buffer.byteLength(log));
  });
  await went("build.log (html)", jenkins.build.log({ name: "mini", number, type: "html" }), (text) => assert.match(String(text), /Started by/));
  await went("build.get", jenkins.build.get("mini", number), (build) => {
    assert.strictEqual(build.result, "SUCCESS");
    const values = build.actions.flatMap((action) => action.parameters || []).map((one) => [one.name, one.value]);
    assert.strictEqual(new Map(values).get("TARGET"), "naïve & sons");
  });
  await went("build.get (permalink)", jenkins.build.get("mini", "lastSuccessfulBuild"), (build) => assert.strictEqual(build.number, number));
  await assert.rejects(jenkins.build.get("mini", 99), (error) => error.notFound === true);
  console.log("build.get (no)");

  const waits = await went("job.build (delay)", jenkins.job.build({ name: "mini", delay: "600sec" }));
  await went("queue.list", jenkins.queue.list(), (items) => assert.deepStrictEqual(items.map((one) => one.id), [waits]));
  await went("queue.cancel", jenkins.queue.cancel(waits));
  await went("queue.item (cancelled)", jenkins.queue.item(waits), (left) => assert.strictEqual(left.cancelled, true));

  await went("build.stop", jenkins.build.stop("mini", number));
  await assert.rejects(jenkins.build.stop("mini", 99), (error) => error.notFound === true);
  console.log("build.stop (no)");
  await went("build.term", jenkins.build.term("mini", number));
  await went("job.disable", jenkins.job.disable("mini"));
  await refused("job.build (disabled)", jenkins.job.build("mini"), 409);
  await went("job.enable", jenkins.job.enable("mini"));
  await went("job.config (get)", jenkins.job.config("mini"), (xml) => assert.match(String(xml), /^<\?xml[^]*<project>/));

  await went("node.list", jenkins.node.list(), (nodes) => assert.strictEqual(nodes.length, 1));
  await went("node.get", jenkins.node.get("master"), (node) => assert.strictEqual(node.offline, false));
  await went("node.get (its own name)", jenkins.node.get(nodeName));
  await went("node.exists", jenkins.node.exists("other"), (there) => assert.strictEqual(there, false));
  await went("view.list", jenkins.view.list(), (views) => assert.deepStrictEqual(views.map((view) => view.name), ["all"]));
  await went("view.get", jenkins.view.get("all"), (view) => assert.strictEqual(view.jobs.length, 2));
  await went("view.exists", jenkins.view.exists("other"), (there) => assert.strictEqual(there, false));
  await went("plugin.list", jenkins.plugin.list(), (plugins) => assert.deepStrictEqual(plugins, []));

  await refused("job.create (refused)", jenkins.job.create("other", "<project/>"), 501);
  await refused("job.copy (refused)", jenkins.job.copy("mini", "other"), 501);
  await refused("job.config (set, refused)", jenkins.job.config("mini", "<project/>"), 501);
  await refused("job.destroy (refused)", jenkins.job.destroy("mini"), 501);
  await refused("view.create (refused)", jenkins.view.create("other"), 501);
  await refused("node.create (refused)", jenkins.node.create("other"), 501);
  await went("job.list (all is there)", jenkins.job.list(), (jobs) => assert.strictEqual(jobs.length, 2));
}

main().catch((error) => { console.error(error); process.exit(1); });
