// The React binding in Debian's React (node-react, node-react-dom), its server renderer and a small DOM (node-jsdom).
"use strict";
const test = require("node:test");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { Module } = require("node:module");
const { assemble } = require("../build.js");

// Where Debian puts the packages of node; another place can be named.
const packages = process.env.REACT_PACKAGES || "/usr/share/nodejs";
process.env.NODE_PATH = packages;
Module._initPaths();

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "parley-react-"));
process.on("exit", () => fs.rmSync(folder, { recursive: true }));
fs.mkdirSync(path.join(folder, "node_modules"));
fs.symlinkSync(path.join(packages, "react"), path.join(folder, "node_modules/react"));
const file = path.join(folder, "parley-react.mjs");
// The source; with SNIPPET=dist what the minifier made of it, where the build has it.
const built = process.env.SNIPPET === "dist" && assemble()["parley-react.mjs"];
fs.copyFileSync(path.join(__dirname, built ? "../dist/parley-react.mjs" : "../react.js"), file);

const React = require("react");
const { createElement, StrictMode } = React;

/** A client that remembers what it was told. */
function createClient({ streams = true } = {}) {
  const told = [];
  let count = 0;
  const next = (kind) => kind + "-" + ++count;
  const openThread = ({ id, ...options } = {}) => {
    const thread = id || next("thread");
    if (Object.values(options).some((value) => value !== undefined)) told.push({ type: "thread", thread, ...options });
    const trackMessage = (message) => {
      const id = message.id || next("message");
      told.push(JSON.parse(JSON.stringify({ type: "message", thread, ...message, id })));
      return id;
    };
    const self = { id: thread, trackMessage, trackEvent: (name, metadata) => told.push({ type: "event", thread, name, metadata }) };
    if (!streams) return self;
    self.streamMessage = (options) => {
      const id = next("message");
      let content = "";
      return { id, append: (text) => (content += text), end: (more) => trackMessage({ ...options, ...more, content, id }) };
    };
    return self;
  };
  return { told, openThread, trackFeedback: (target, vote) => told.push({ type: "feedback", target, ...vote }) };
}

// --------------------------------------------------------------------------------------------------------- on a server

test("frameworks with server components are told that this is for the page", () => {
  assert.match(fs.readFileSync(file, "utf8"), /^"use client";/);
});

test("importing and rendering on a server touch no window and track nothing", async () => {
  assert.equal(typeof window, "undefined");
  const { useChat, useThread, useRecordedChat, ParleyProvider } = await import(file);
  const { renderToString } = require("react-dom/server");
  const client = createClient();
  function Page() {
    const thread = useThread({ id: "t-1", tags: ["a"] });
    const { messages, status } = useChat({ send: () => "", initialMessages: [{ id: "m", role: "user", content: "Hello" }], tags: ["b"] });
    useRecordedChat([{ id: "0123456789abcdefgh", role: "user", content: "Hello" }], { recordInitial: true });
    return createElement("p", null, thread.id, status, messages.map(({ content }) => content));
  }
  const html = renderToString(createElement(ParleyProvider, { client }, createElement(Page)));
  assert.equal(html.replace(/<!-- -->/g, ""), "<p>t-1readyHello</p>");
  renderToString(createElement(Page));
  assert.deepEqual(client.told, []);
});

// ----------------------------------------------------------------------------------------------------------- in a page

// Before react-dom is loaded, which looks at once whether it is in a page. One, for the same reason.
function openWindow() {
  const { JSDOM } = require("jsdom");
  const { window } = new JSDOM("<body></body>");
  for (const [name, value] of Object.entries({ window, document: window.document, navigator: window.navigator, IS_REACT_ACT_ENVIRONMENT: true })) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
}

/** A page with a component in it, in StrictMode; `view` answers what its hooks gave last. */
async function show(useHooks, client, element = (Page, props) => createElement(Page, props)) {
  const binding = await import(file);
  if (!globalThis.window) openWindow();
  const { createRoot } = require("react-dom/client");
  const { act } = require("react-dom/test-utils");
  const shown = { renders: 0, binding, act };
  function Page(props) {
    shown.view = useHooks(binding, props);
    shown.renders++;
    return createElement("p", null, JSON.stringify(shown.view.messages || null));
  }
  const root = createRoot(document.body.appendChild(document.createElement("main")));
  const tree = (props) => createElement(StrictMode, null, createElement(binding.ParleyProvider, { client }, element(Page, props)));
  shown.render = (props) => act(async () => root.render(tree(props)));
  shown.unmount = () => act(async () => root.unmount());
  shown.text = () => document.querySelector("main:last-child").textContent;
  await shown.render({});
  return shown;
}

/** An answer whose pieces the test gives. */
function source() {
  const pieces = [];
  let wake = () => {};
  const push = (piece) => {
    pieces.push(piece);
    wake();
  };
  async function* answer() {
    for (;;) {
      while (!pieces.length) await new Promise((done) => (wake = done));
      const piece = pieces.shift();
      if (piece === null) return;
      if (piece instanceof Error) throw piece;
      yield piece;
    }
  }
  return { push, answer };
}

test("a thread keeps its id through StrictMode's second mount, and renders track nothing", async () => {
  const client = createClient();
  const seen = new Set();
  const page = await show(({ useThread }, { id }) => {
    const thread = useThread({ id, tags: ["billing"] });
    React.useEffect(() => void seen.add(thread.id), [thread]);
    return { thread };
  }, client);
  assert.equal(seen.size, 1);
  assert.deepEqual(client.told, []);
  await page.render({});
  const { thread } = page.view;
  thread.trackMessage({ role: "user", content: "Hello" });
  thread.trackEvent("opened");
  assert.deepEqual(client.told.map(({ type, thread }) => type + " " + thread), ["thread", "message", "event"].map((type) => `${type} ${thread.id}`));
  await page.render({ id: "t-2" });
  assert.equal(page.view.thread.id, "t-2");
  await page.render({ id: "t-2" });
  assert.equal(page.view.thread.id, "t-2");
});

test("a question and its streamed answer are recorded once each, and shown as they come", async () => {
  const client = createClient();
  const { push, answer } = source();
  let asked;
  const page = await show(({ useChat }) => useChat({ send: (text, options) => { asked = { text, ...options }; return answer(); } }), client);
  assert.equal(page.view.status, "ready");
  let id;
  await page.act(async () => { id = page.view.ask("Hello"); });
  assert.equal(page.view.status, "submitted");
  assert.deepEqual([asked.text, asked.messageId, asked.threadId, asked.history, asked.signal.aborted], ["Hello", id, page.view.thread.id, [], false]);
  await page.act(async () => push("Hi"));
  assert.deepEqual([page.view.status, page.view.messages[1].content], ["streaming", "Hi"]);
  await page.act(async () => push(new TextEncoder().encode(" there")));
  await page.act(async () => push(null));
  assert.equal(page.view.status, "ready");
  assert.equal(page.text(), JSON.stringify(page.view.messages));
  const [question, reply] = client.told;
  assert.equal(client.told.length, 2);
  assert.deepEqual([question.role, question.content, question.id], ["user", "Hello", id]);
  assert.deepEqual([reply.role, reply.content, reply.replyTo, reply.id], ["assistant", "Hi there", id, page.view.messages[1].id]);
  await page.act(async () => page.view.vote(reply.id, "up", "good"));
  assert.equal(page.view.messages[1].thumb, "up");
  assert.deepEqual(client.told[2], { type: "feedback", target: reply.id, thumb: "up", comment: "good" });
  await page.unmount();
  assert.equal(client.told.length, 3);
});

test("an answer may be a text, a promise or a stream, and its history what was said before", async () => {
  const client = createClient();
  const histories = [];
  const answers = [() => "one", async () => "two", () => ["th", "ree"], () => new Blob(["four"]).stream()];
  const page = await show(({ useChat }) => useChat({ send: (text, { history }) => { histories.push(history.length); return answers.shift()(); } }), client);
  for (const text of ["1", "2", "3", "4"]) {
    await page.act(async () => { page.view.ask(text); });
    for (let turn = 0; turn < 20 && page.view.status !== "ready"; turn++) await page.act(async () => new Promise((done) => setTimeout(done, 5)));
  }
  assert.deepEqual(client.told.filter(({ role }) => role === "assistant").map(({ content }) => content), ["one", "two", "three", "four"]);
  assert.deepEqual(histories, [0, 2, 4, 6]);
});

test("stop, the next question and the end of the component end an answer as interrupted, once", async () => {
  const client = createClient();
  const sources = [source(), source(), source(), source()];
  const signals = [];
  let turn = 0;
  const page = await show(({ useChat }) => useChat({ send: (text, { signal }) => { signals.push(signal); return sources[turn++].answer(); } }), client);
  await page.act(async () => { page.view.ask("one"); });
  await page.act(async () => sources[0].push("part"));
  await page.act(async () => page.view.stop());
  assert.deepEqual([page.view.status, page.view.messages[1].status, signals[0].aborted], ["ready", "interrupted", true]);
  await page.act(async () => sources[0].push("late"));
  assert.equal(page.view.messages[1].content, "part");
  await page.act(async () => { page.view.ask("two"); });
  await page.act(async () => { page.view.ask("three"); });
  await page.act(async () => sources[2].push("again part"));
  await page.unmount();
  await page.act(async () => sources[2].push("late"));
  assert.deepEqual(client.told.map(({ type, role, content, interrupted, name }) => [type, role || name, content, interrupted]), [
    ["message", "user", "one", undefined], ["message", "assistant", "part", true],
    ["message", "user", "two", undefined], ["event", "answer_stopped", undefined, undefined],
    ["message", "user", "three", undefined], ["message", "assistant", "again part", true],
  ]);
  assert.deepEqual(signals.map(({ aborted }) => aborted), [true, true, true]);
});

test("what send throws is the error, and recorded", async () => {
  const client = createClient();
  const broken = source();
  const answers = [() => { throw new Error("offline"); }, () => broken.answer(), () => 7];
  const page = await show(({ useChat }) => useChat({ send: () => answers.shift()() }), client);
  await page.act(async () => { page.view.ask("one"); });
  assert.deepEqual([page.view.status, page.view.error.message], ["error", "offline"]);
  await page.act(async () => { page.view.ask("two"); });
  assert.equal(page.view.error, undefined);
  await page.act(async () => broken.push("half"));
  await page.act(async () => broken.push(new Error("cut")));
  assert.deepEqual([page.view.status, page.view.messages[2].status], ["error", "error"]);
  await page.act(async () => { page.view.ask("three"); });
  assert.equal(page.view.status, "error");
  const [, failed, , half, , wrong] = client.told;
  assert.deepEqual([failed.name, failed.metadata.error], ["answer_failed", "offline"]);
  assert.deepEqual([half.content, half.interrupted, half.metadata.error], ["half", true, "cut"]);
  assert.equal(wrong.name, "answer_failed");
});

test("a regenerated answer takes the place of the last and says whose it is", async () => {
  const client = createClient();
  let turn = 0;
  const page = await show(({ useChat }) => useChat({ send: () => "answer " + ++turn }), client);
  await page.act(async () => page.view.regenerate());
  assert.deepEqual(client.told, []);
  await page.act(async () => { page.view.ask("Hello"); });
  await page.act(async () => page.view.regenerate());
  const [question, first, second] = client.told;
  assert.equal(client.told.length, 3);
  assert.deepEqual([second.replyTo, second.retryOf, second.content], [question.id, first.id, "answer 2"]);
  assert.deepEqual(page.view.messages.map(({ id }) => id), [question.id, second.id]);
});

test("a client without streams has its answers collected, with their pace", async () => {
  const client = createClient({ streams: false });
  const page = await show(({ useChat }) => useChat({ send: () => ["a", "b"] }), client);
  await page.act(async () => { page.view.ask("Hello"); });
  const reply = client.told[1];
  assert.equal(reply.content, "ab");
  assert.deepEqual(reply.metadata.deltas[reply.metadata.deltas.length - 1][1], 2);
  assert.match(reply.id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test("window.parley is the client where none is given, and without any the chat works unrecorded", async () => {
  const warnings = [];
  const { warn } = console;
  console.warn = (text) => warnings.push(text);
  const page = await show(({ useChat }) => useChat({ send: () => "Hi" }), undefined);
  await page.act(async () => { page.view.ask("Hello"); });
  assert.deepEqual(page.view.messages.map(({ content }) => content), ["Hello", "Hi"]);
  assert.equal(warnings.length, 1);
  console.warn = warn;
  globalThis.parley = createClient();
  const other = await show(({ useChat }) => useChat({ send: () => "Hi" }), undefined);
  await other.act(async () => { other.view.ask("Hello"); });
  assert.equal(globalThis.parley.told.length, 2);
  delete globalThis.parley;
});

// ------------------------------------------------------------------------------------------------- another hook's chat

const long = (name) => name + "-0123456789abcdef";

test("another hook's chat is recorded: each message once, answers when they are finished", async () => {
  const client = createClient();
  const page = await show(({ useRecordedChat }, { messages = [], status }) => useRecordedChat(messages, { status }), client);
  const question = { id: long("q"), role: "user", parts: [{ type: "text", text: "Hello" }] };
  const answer = (text) => ({ id: long("a"), role: "assistant", parts: [{ type: "step-start" }, { type: "text", text }] });
  await page.render({ messages: [question], status: "submitted" });
  for (const text of ["H", "Hi", "Hi there"]) await page.render({ messages: [question, answer(text)], status: "streaming" });
  assert.equal(client.told.length, 1);
  await page.render({ messages: [question, answer("Hi there")], status: "ready" });
  await page.render({ messages: [{ ...question }, answer("Hi there")], status: "ready" });
  const [asked, replied] = client.told;
  assert.equal(client.told.length, 2);
  assert.deepEqual([asked.id, asked.content, replied.id, replied.content, replied.replyTo], [question.id, "Hello", long("a"), "Hi there", question.id]);
  const { deltas } = replied.metadata;
  assert.equal(deltas[deltas.length - 1][1], 8);
  assert.equal(page.view.idOf(long("a")), long("a"));
  assert.equal(replied.thread, page.view.thread.id);
});

test("what was there at the first render is an earlier visit's, an answer that is still being written is not", async () => {
  const client = createClient();
  const old = [{ id: long("q1"), role: "user", content: "old" }, { id: long("a1"), role: "assistant", content: "old answer" }, { id: long("q2"), role: "user", content: "asked" }];
  const streaming = { id: long("a2"), role: "assistant", content: "wri" };
  let first = true;
  const page = await show(({ useRecordedChat }, { messages, status }) => useRecordedChat(messages || [...old, streaming], { status: status || "streaming", id: "t-old" }), client);
  assert.deepEqual(client.told, []);
  await page.render({ messages: [...old, { ...streaming, content: "written" }], status: "ready" });
  assert.deepEqual(client.told.map(({ content, replyTo }) => [content, replyTo]), [["written", long("q2")]]);
  await page.unmount();
  // A second mount of the same thread has it all already.
  const again = await show(({ useRecordedChat }) => useRecordedChat([...old, { ...streaming, content: "written" }], { id: "t-old", recordInitial: true }), client);
  assert.equal(client.told.length, 1);
  await again.unmount();
});

test("a chat longer than what is remembered is recorded all the same", async () => {
  const client = createClient();
  const messages = Array.from({ length: 2100 }, (_, place) => ({ id: `${place}`, role: "user", content: "n" }));
  const page = await show(({ useRecordedChat }, { messages = [] }) => useRecordedChat(messages, { id: "t-long" }), client);
  await page.render({ messages });
  assert.equal(client.told.filter(({ thread }) => thread === "t-long").length >= 2100, true);
});

test("regenerated and edited messages, broken answers, weak ids and tools are recorded as what they are", async () => {
  const client = createClient();
  const page = await show(({ useRecordedChat }, { messages = [], ...options }) => useRecordedChat(messages, options), client);
  const question = { id: "1", role: "user", content: "Hello" };
  const tool = { type: "tool-search", state: "output-available", input: { q: 1 }, output: [] };
  await page.render({ messages: [question], status: "error", error: new Error("offline") });
  await page.render({ messages: [question, { id: long("a1"), role: "assistant", content: "", parts: [tool, { type: "file", url: "data:image/png;base64,AA", mediaType: "image/png" }] }] });
  await page.render({ messages: [question, { id: long("a2"), role: "assistant", content: "half" }], status: "error" });
  await page.render({ messages: [{ ...question, content: "Hello!" }, { id: long("a2"), role: "assistant", content: "half" }], status: "ready" });
  const [asked, failed, first, second, edited] = client.told;
  assert.equal(client.told.length, 5);
  assert.match(asked.id, /^message-/);
  assert.equal(page.view.idOf("1"), edited.id);
  assert.deepEqual([failed.name, failed.metadata], ["answer_failed", { replyTo: asked.id, error: "offline" }]);
  assert.deepEqual([first.content, first.replyTo], [[tool, { type: "file", mediaType: "image/png" }], asked.id]);
  assert.deepEqual([second.retryOf, second.metadata], [first.id, { interrupted: true }]);
  assert.deepEqual([edited.content, edited.retryOf], ["Hello!", asked.id]);
});
