"use strict";
const test = require("node:test");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { openPage, openChat } = require("./page.js");

const protocol = path.join(__dirname, "../../protocol");
const schemas = path.join(protocol, "v1");
const corpus = path.join(protocol, "conformance");

const read = (folder, name) => JSON.parse(fs.readFileSync(path.join(folder, name), "utf8"));

/** As much of JSON Schema as the protocol's own files use; an unknown keyword fails rather than passes. */
function violations(schema, value, file, at = "$") {
  const found = [];
  const typeOf = (value) => (value === null ? "null" : Array.isArray(value) ? "array" : Number.isInteger(value) ? "integer" : typeof value);
  for (const [word, rule] of Object.entries(schema)) {
    const fail = () => found.push(`${at}: ${word} ${JSON.stringify(rule).slice(0, 80)}`);
    const isObject = typeOf(value) === "object";
    switch (word) {
      case "$schema": case "$id": case "title": case "description": case "examples": case "$defs": case "then": case "else": case "$comment":
        break;
      case "$ref": {
        const [name, fragment = ""] = rule.split("#");
        const target = name || file;
        const found_ = fragment.split("/").slice(1).reduce((node, step) => node[step], read(schemas, target));
        found.push(...violations(found_, value, target, at));
        break;
      }
      case "type":
        if (![rule].flat().some((type) => type === typeOf(value) || (type === "number" && typeOf(value) === "integer"))) fail();
        break;
      case "const": if (value !== rule) fail(); break;
      case "enum": if (!rule.includes(value)) fail(); break;
      case "required": if (isObject) for (const field of rule) if (!(field in value)) found.push(`${at}: ${field} is missing`); break;
      case "properties":
        if (isObject) for (const field of Object.keys(rule)) if (field in value) found.push(...violations(rule[field], value[field], file, `${at}.${field}`));
        break;
      case "additionalProperties":
        if (isObject && typeof rule === "object") for (const field of Object.keys(value)) if (!(schema.properties || {})[field]) found.push(...violations(rule, value[field], file, `${at}.${field}`));
        if (isObject && rule === false && Object.keys(value).some((field) => !(schema.properties || {})[field])) fail();
        break;
      case "items": if (Array.isArray(value)) value.forEach((each, place) => found.push(...violations(rule, each, file, `${at}[${place}]`))); break;
      case "minItems": if (Array.isArray(value) && value.length < rule) fail(); break;
      case "maxItems": if (Array.isArray(value) && value.length > rule) fail(); break;
      case "minLength": if (typeof value === "string" && [...value].length < rule) fail(); break;
      case "maxLength": if (typeof value === "string" && [...value].length > rule) fail(); break;
      case "minimum": if (typeof value === "number" && value < rule) fail(); break;
      case "maximum": if (typeof value === "number" && value > rule) fail(); break;
      case "pattern": if (typeof value === "string" && !new RegExp(rule, "u").test(value)) fail(); break;
      case "anyOf": if (!rule.some((each) => !violations(each, value, file, at).length)) fail(); break;
      case "oneOf": if (rule.filter((each) => !violations(each, value, file, at).length).length !== 1) fail(); break;
      case "allOf": for (const each of rule) found.push(...violations(each, value, file, at)); break;
      case "not": if (!violations(rule, value, file, at).length) fail(); break;
      case "if": {
        const branch = violations(rule, value, file, at).length ? schema.else : schema.then;
        if (branch) found.push(...violations(branch, value, file, at));
        break;
      }
      default: throw new Error(`${file} uses \`${word}\`, which this test does not know`);
    }
  }
  return found;
}

const check = (value, name) => assert.deepEqual(violations(read(schemas, name), value, name), [], JSON.stringify(value));

/** One event of each kind that a page can send, in as many fields as it can have. */
async function everyEvent() {
  const page = openPage();
  const { parley } = page;
  parley.identify("u1", { plan: "pro" });
  const thread = parley.openThread({ id: "t-1", tags: ["billing"], user: { id: "u1", props: { plan: "pro" } }, metadata: { page: "/pricing" } });
  const question = thread.trackMessage({ role: "user", content: "Hello", tags: ["greeting"], metadata: { locale: "de" } });
  const answer = thread.trackMessage({ role: "assistant", content: [{ type: "text", text: "Hi" }], replyTo: question });
  thread.trackMessage({ role: "assistant", content: "Hi again", replyTo: question, isRetry: true });
  thread.trackEvent("document_opened", { document: "terms" });
  parley.openThread().trackEvent("idle");
  parley.trackFeedback(answer, { thumb: "up", comment: "Good" });
  parley.trackFeedback(answer, { thumb: null });
  thread.trackEvent("unserializable", { big: 1n });
  await page.advance(10);
  page.socket.welcomes();
  return page.socket.frames;
}

test("every event that the snippet builds satisfies its schema", async () => {
  const frames = await everyEvent();
  const events = frames.filter((frame) => frame.type === "batch").flatMap((batch) => batch.events);
  assert.deepEqual([...new Set(events.map((event) => event.type))].sort(), ["client_report", "event", "feedback", "identify", "message", "thread"]);
  for (const event of events) check(event, `${event.type}.schema.json`);
});

test("every frame that the snippet sends satisfies its schema", async () => {
  const page = await openChat();
  await page.advance(12500);
  assert.deepEqual(page.socket.frames.map((frame) => frame.type), ["hello", "batch", "heartbeat"]);
  for (const frame of page.socket.frames) check(frame, `frame-${frame.type}.schema.json`);
});

test("fetch and beacon bodies satisfy the write schema", async () => {
  const page = openPage();
  page.socketsForbidden = true;
  page.parley.openThread().trackMessage({ role: "user", content: "a" });
  await page.advance(10);
  page.hide();
  check(JSON.parse(page.posts[0].options.body), "write.schema.json");
  check(JSON.parse(page.beacons[0].body), "write.schema.json");
});

test("the corpus is there, and every case file can be read", () => {
  const names = fs.readdirSync(corpus).filter((name) => name.endsWith(".json")); // throws where the folder is missing
  assert.ok(names.length > 0, "protocol/conformance holds no case file");
  for (const name of names) {
    const { suite, cases } = read(corpus, name);
    assert.equal(typeof suite, "string", name);
    assert.ok(Array.isArray(cases) && cases.length, name);
    for (const each of cases) {
      assert.equal(typeof each.name, "string", name);
      assert.equal(typeof each.clause, "string", `${name}: ${each.name}`);
    }
  }
});
