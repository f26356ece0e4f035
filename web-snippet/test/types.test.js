"use strict";
const test = require("node:test");
const assert = require("node:assert/strict");
const path = require("node:path");
const { spawnSync } = require("node:child_process");

test("tsc accepts what applications write, and refuses what they must not", () => {
  const options = ["--noEmit", "--strict", "--target", "es2018", "--lib", "es2018,dom,dom.iterable", "--module", "esnext", "--moduleResolution", "node", "--typeRoots", "/nowhere"];
  const { status, stdout, error } = spawnSync("tsc", [...options, path.join(__dirname, "types.ts")], { encoding: "utf8" });
  assert.equal(error, undefined, "there is no tsc: install Debian's package node-typescript");
  assert.equal(status, 0, stdout);
});

test("no declaration needs more than the language and a page", () => {
  for (const [name, lib] of [["node.d.ts", "es2018"], ["react.d.ts", "es2018,dom"], ["snippet.d.ts", "es2018,dom"], ["carry.d.ts", "es2018,dom"]]) {
    const { status, stdout } = spawnSync("tsc", ["--noEmit", "--strict", "--lib", lib, "--typeRoots", "/nowhere", path.join(__dirname, "..", name)], { encoding: "utf8" });
    assert.equal(status, 0, name + ": " + stdout);
  }
});
