// Makes dist/ out of snippet.js and loader.js. `node build.js` writes what changed, `node build.js --check` writes
// nothing and fails if dist/ is not what the sources say. The same input gives the same bytes.
//
// No minifier: comment lines and indentation go, and the line break after an opening bracket, a comma or a semicolon.
// What a browser's debugger shows is the source.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const room = __dirname;
const dist = path.join(room, "dist");

/** Safe because it is line by line: a text that spans lines would not be, so one is refused. */
function strip(source) {
  const lines = source.split("\n").map((line) => line.trim());
  const kept = [];
  let inDoc = false;
  for (const line of lines) {
    if (line.startsWith("/*")) inDoc = true;
    if (inDoc || line === "" || line.startsWith("//")) {
      if (line.endsWith("*/")) inDoc = false;
      continue;
    }
    if (line.split("`").length % 2 === 0) throw new Error("a template text spans lines: " + line);
    if (/\s\/\/ /.test(line)) throw new Error("a comment stands behind code, where it would be shipped: " + line);
    kept.push(line);
  }
  return kept.join("\n").replace(/([{(\[,;])\n/g, "$1") + "\n";
}

/** What stands only in the script-tag build, between its two marker lines. */
const scriptOnly = /^\/\/ <script tag build>\n[\s\S]*?^\/\/ <\/script tag build>\n/m;
const surface = /^export \{ (.*) \};\n$/m;

function module_(source) {
  return strip(source.replace(scriptOnly, ""));
}

/** One function around the module, so that only what it hands to the window is left behind. */
function script(source, end = "takeOver({ $1 });\n") {
  if (!scriptOnly.test(source) || !surface.test(source)) throw new Error("a source lost its markers or its export line");
  return strip("(() => {\n\"use strict\";\n" + source.replace(surface, end) + "})();\n");
}

/** Every file of dist/, by name. */
function build(read = (name) => fs.readFileSync(path.join(room, name), "utf8")) {
  const snippet = read("snippet.js");
  return {
    "parley.mjs": module_(snippet),
    "parley.js": script(snippet),
    "parley-loader.js": strip(read("loader.js")),
    "parley-carry.mjs": module_(read("carry.js")),
    "parley-carry.js": script(read("carry.js"), ""),
  };
}

/** Names of the files in dist/ that differ from `files`, are missing, or have no business there. */
function stale(files, folder = dist) {
  const there = fs.existsSync(folder) ? fs.readdirSync(folder) : [];
  const differs = (name) => !there.includes(name) || fs.readFileSync(path.join(folder, name), "utf8") !== files[name];
  return [...Object.keys(files).filter(differs), ...there.filter((name) => !(name in files))];
}

function main(options) {
  const files = build();
  const names = stale(files);
  if (!names.length) return console.log("dist is up to date");
  if (options.includes("--check")) {
    console.error("dist is stale: " + names.join(", ") + ". Run `node web-snippet/build.js`.");
    process.exitCode = 1;
    return;
  }
  fs.mkdirSync(dist, { recursive: true });
  for (const name of names) {
    if (name in files) fs.writeFileSync(path.join(dist, name), files[name]);
    else fs.rmSync(path.join(dist, name), { recursive: true });
    console.log((name in files ? "wrote dist/" : "removed dist/") + name);
  }
}

module.exports = { build, strip, stale };
if (require.main === module) main(process.argv.slice(2));
