// Prints what each file of dist/ weighs, and fails when one is over its budget: a chat recorder must not be felt.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const zlib = require("node:zlib");

/** gzip -9, in bytes: about what a web server sends. */
const budgets = {
  "parley.js": 5120,
  "parley.mjs": 5120,
  "parley-loader.js": 717,
  "parley-carry.js": 1600,
  "parley-carry.mjs": 1600,
  "parley-react.mjs": 3072,
  "parley-node.mjs": 5120,
};

for (const [name, budget] of Object.entries(budgets)) {
  const bytes = fs.readFileSync(path.join(__dirname, "dist", name));
  const zipped = zlib.gzipSync(bytes, { level: 9 }).length;
  const over = zipped > budget;
  console.log(`${name.padEnd(18)} ${String(bytes.length).padStart(6)} B raw ${String(zipped).padStart(6)} B gzip  of ${budget}${over ? "  OVER" : ""}`);
  if (over) process.exitCode = 1;
}
