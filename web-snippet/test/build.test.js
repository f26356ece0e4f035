"use strict";
const test = require("node:test");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { spawnSync } = require("node:child_process");
const { build, strip, stale } = require("../build.js");

test("dist is what the sources make", () => {
  assert.deepEqual(stale(build()), []);
});

test("the same input gives the same bytes", () => {
  assert.deepEqual(build(), build());
});

test("a changed, a missing and a foreign file make dist stale", (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dist-"));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  fs.writeFileSync(path.join(folder, "a.js"), "1\n");
  fs.writeFileSync(path.join(folder, "c.js"), "3\n");
  assert.deepEqual(stale({ "a.js": "1\n", "b.js": "2\n" }, folder), ["b.js", "c.js"]);
  assert.deepEqual(stale({ "a.js": "2\n", "c.js": "3\n" }, folder), ["a.js"]);
});

test("stripping takes comment lines and indentation, and nothing inside a text", () => {
  assert.equal(strip('// a\n/**\n * b\n */\nconst url = "http://x"; \n\n  go({\n    url,\n  });\n'), 'const url = "http://x";go({url,});\n');
  assert.throws(() => strip("const a = `one\ntwo`;\n"));
  assert.throws(() => strip("const a = 1; // one\n"));
});

test("every file is within its budget", () => {
  const { status, stdout } = spawnSync(process.execPath, [path.join(__dirname, "../size.js")], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
});
