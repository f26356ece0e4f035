// Makes dist/ out of the sources beside it. `node build.js` writes what changed, `node build.js --check` writes nothing and
// fails if dist/ is not what the sources say.
//
// The minifier is terser (Debian: `apt-get install terser`; elsewhere `npm install --no-save terser`). Its versions differ by a
// few bytes, so dist/made.json says which one it was: under another one, --check compares the sources alone.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");

const room = __dirname;
const dist = path.join(room, "dist");

/** What stands only in the script-tag build, between its two marker lines. */
const scriptOnly = /^\/\/ <script tag build>\n[\s\S]*?^\/\/ <\/script tag build>\n/m;
const surface = /^export \{ (.*) \};\n$/m;

/** Without the lines of the script-tag build, which keep their numbers, so that source maps hold. */
const module_ = (source) => source.replace(scriptOnly, (lines) => lines.replace(/.*/g, ""));

/** One function around the module, on its lines, so that only what it hands to the window is left behind. */
function script(source, end = "takeOver({ $1 });") {
  if (!scriptOnly.test(source) || !surface.test(source)) throw new Error("a source lost its markers or its export line");
  return "(() => { \"use strict\"; " + source.replace(surface, end) + "\n})();\n";
}

/** What each file of dist/ is made of: its text before it is minified, and the source it came from. */
function assemble(read = (name) => fs.readFileSync(path.join(room, name), "utf8")) {
  return {
    "parley.mjs": { text: module_(read("snippet.js")), from: "snippet.js", module: true },
    "parley.js": { text: script(read("snippet.js")), from: "snippet.js" },
    "parley-loader.js": { text: read("loader.js"), from: "loader.js", pasted: true },
    "parley-carry.mjs": { text: module_(read("carry.js")), from: "carry.js", module: true },
    "parley-carry.js": { text: script(read("carry.js"), ""), from: "carry.js" },
    "parley-react.mjs": { text: read("react.js"), from: "react.js", module: true },
    "parley-node.mjs": { text: read("node.js"), from: "node.js", module: true },
  };
}

/** Names of properties that no page and no browser sees: objects within snippet.js have them, and nothing else. */
const ours = /^(again|beaconed|configure|drain|failed|failures|fine|hasKey|next|sent)$/;

const version = (read = fs.readFileSync(path.join(room, "snippet.js"), "utf8")) => read.match(/^const version = "(.*)";$/m)[1];
const digest = (text) => crypto.createHash("sha256").update(text).digest("hex");

function minifier() {
  // Debian's packages lie where only its own node looks.
  process.env.NODE_PATH = [process.env.NODE_PATH, "/usr/share/nodejs"].filter(Boolean).join(path.delimiter);
  require("node:module").Module._initPaths();
  try {
    return { terser: require("terser"), made: "terser " + require("terser/package.json").version };
  } catch (error) {
    if (error.code !== "MODULE_NOT_FOUND") throw error;
    throw new Error("there is no terser here: apt-get install terser, or npm install --no-save terser", { cause: error });
  }
}

/** Every file of dist/, by name. The same sources and the same terser give the same bytes. */
async function build() {
  const { terser, made } = minifier();
  const files = {};
  const sources = {};
  for (const [name, { text, from, module, pasted }] of Object.entries(assemble())) {
    const { code, map } = await terser.minify({ [from]: text }, {
      module, mangle: from === "snippet.js" ? { properties: { regex: ours } } : true, compress: { passes: 3, ecma: 2018, toplevel: true, unsafe_arrows: true, unsafe_methods: true, keep_fargs: false, pure_getters: true, directives: false }, format: { comments: false },
      sourceMap: pasted ? false : { filename: name, url: name + ".map", includeSources: true },
    });
    files[name] = code + "\n";
    if (map) files[name + ".map"] = map + "\n";
    sources[name] = digest(text);
  }
  // Immutable addresses carry the version; what a page may say of their bytes (W3C Subresource Integrity).
  const integrity = (name) => "sha384-" + crypto.createHash("sha384").update(files[name]).digest("base64");
  const versioned = (name) => name.replace(".", `-${version()}.`);
  files["sri.json"] = JSON.stringify({ version: version(), files: Object.fromEntries(Object.keys(sources).map((name) => [versioned(name), integrity(name)])) }, null, 1) + "\n";
  files["made.json"] = JSON.stringify({ by: made, sources }, null, 1) + "\n";
  return files;
}

/** Names of the files in dist/ that differ from `files`, are missing, or have no business there. */
function stale(files, folder = dist) {
  const there = fs.existsSync(folder) ? fs.readdirSync(folder) : [];
  const differs = (name) => !there.includes(name) || fs.readFileSync(path.join(folder, name), "utf8") !== files[name];
  return [...Object.keys(files).filter(differs), ...there.filter((name) => !(name in files))];
}

/** The same, where another version of the minifier made dist/: by what it was made of. */
function outdated(made) {
  return Object.entries(assemble()).filter(([name, { text }]) => made.sources[name] !== digest(text)).map(([name]) => name);
}

async function main(options) {
  const files = await build();
  const place = path.join(dist, "made.json");
  const made = fs.existsSync(place) ? JSON.parse(fs.readFileSync(place, "utf8")) : { sources: {} };
  const check = options.includes("--check");
  const other = check && made.by !== JSON.parse(files["made.json"]).by;
  if (other) console.log(`dist was made by ${made.by}, here is ${JSON.parse(files["made.json"]).by}: only the sources are compared`);
  const names = other ? outdated(made) : stale(files);
  if (!names.length) return console.log("dist is up to date");
  if (check) {
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

module.exports = { assemble, build, stale, outdated, version };
if (require.main === module) main(process.argv.slice(2));
