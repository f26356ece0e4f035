"use strict";
const test = require("node:test");
const assert = require("node:assert/strict");
const crypto = require("node:crypto");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { spawnSync } = require("node:child_process");
const { assemble, build, outdated, stale, version } = require("../build.js");

const made = (name) => fs.readFileSync(path.join(__dirname, "../dist", name), "utf8");

test("dist is made of what the sources say", () => {
  assert.deepEqual(outdated(JSON.parse(made("made.json"))), []);
  assert.deepEqual(outdated({ sources: {} }), Object.keys(assemble()));
});

test("the same input gives the same bytes", async () => {
  assert.deepEqual(await build(), await build());
});

test("the manifest tells the digest of each versioned file, and a changed byte would show", () => {
  const manifest = JSON.parse(made("sri.json"));
  assert.equal(manifest.version, version());
  for (const [name, integrity] of Object.entries(manifest.files)) {
    const bytes = made(name.replace("-" + version(), ""));
    const digest = (text) => "sha384-" + crypto.createHash("sha384").update(text).digest("base64");
    assert.equal(integrity, digest(bytes));
    assert.notEqual(integrity, digest(bytes + " "));
  }
});

test("a source map leads back to the source", () => {
  const map = JSON.parse(made("parley.js.map"));
  assert.deepEqual(map.sources, ["snippet.js"]);
  const lines = fs.readFileSync(path.join(__dirname, "../snippet.js"), "utf8").split("\n");
  const line = lines.findIndex((text) => text.startsWith("function newID"));
  assert.equal(map.sourcesContent[0].split("\n")[line], lines[line]);
  assert.ok(made("parley.js").endsWith("//# sourceMappingURL=parley.js.map\n"));
});

test("a changed, a missing and a foreign file make dist stale", (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dist-"));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  fs.writeFileSync(path.join(folder, "a.js"), "1\n");
  fs.writeFileSync(path.join(folder, "c.js"), "3\n");
  assert.deepEqual(stale({ "a.js": "1\n", "b.js": "2\n" }, folder), ["b.js", "c.js"]);
  assert.deepEqual(stale({ "a.js": "2\n", "c.js": "3\n" }, folder), ["a.js"]);
});

test("every file is within its budget", () => {
  const { status, stdout } = spawnSync(process.execPath, [path.join(__dirname, "../size.js")], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
});
