"use strict";
const test = require("node:test");
const assert = require("node:assert/strict");
const vm = require("node:vm");
const { assemble } = require("../build.js");

const id = "0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d10";
const trace = "0197f3c25b1e7c409d2a6f1b8e4a7d10";

// A page with a network that only takes notes, and a thread as the client gives it.
function openPage({ next = id, apm } = {}) {
  const requests = [];
  const events = [];
  const page = { now: 1795229470887, requests, events };
  class XMLHttpRequest {
    constructor() {
      this.headers = {};
    }
    open(method, address) {
      this.address = address;
    }
    setRequestHeader(name, value) {
      this.headers[name] = name in this.headers ? this.headers[name] + ", " + value : value;
    }
    send(body) {
      requests.push({ address: this.address, headers: this.headers, body });
    }
  }
  // What a browser's own functions look like to Function.prototype.toString.
  XMLHttpRequest.prototype.send = new Proxy(XMLHttpRequest.prototype.send, {});
  if (apm) apm(XMLHttpRequest.prototype);
  const context = vm.createContext({
    crypto: globalThis.crypto, Headers, URL, XMLHttpRequest, Date: { now: () => page.now },
    location: { origin: "https://shop.test", href: "https://shop.test/chat" },
  });
  context.window = context;
  context.fetch = (input, options = {}) => {
    requests.push({ address: input.url || String(input), headers: Object.fromEntries(new Headers(options.headers || input.headers)), ...options.body && { body: options.body } });
    return "answer";
  };
  vm.runInContext(assemble()["parley-carry.js"].text, context);
  page.context = context;
  page.thread = { id: "t 1", trackMessage: () => next, trackEvent: (...event) => events.push(event) };
  page.say = (role = "user") => page.thread.trackMessage({ role, content: "Hello" });
  return page;
}

test("the next request to the page's own origin carries the user's message", () => {
  const page = openPage();
  assert.equal(page.context.parleyCarry(page.thread), page.thread);
  page.context.fetch("/api/chat");
  assert.equal(page.say(), id);
  assert.equal(page.context.fetch("/api/chat", { headers: { "X-Own": "1" } }), "answer");
  assert.deepEqual(page.requests[0].headers, {});
  const { traceparent, baggage, "x-own": own } = page.requests[1].headers;
  assert.match(traceparent, new RegExp(`^00-${trace}-[0-9a-f]{16}-01$`));
  assert.equal(baggage, `chat.message.id=${id},chat.thread.id=t%201`);
  assert.equal(own, "1");
});

test("an answer is carried nowhere, and a message only for a while", () => {
  const page = openPage();
  page.context.parleyCarry(page.thread);
  page.say("assistant");
  page.context.fetch("/api/chat");
  page.say();
  page.now += 10001;
  page.context.fetch("/api/chat");
  assert.deepEqual(page.requests.map(({ headers }) => headers), [{}, {}]);
});

test("only allowed addresses are given anything", () => {
  const page = openPage();
  page.context.parleyCarry(page.thread, { to: ["https://api.test/chat", "https://other.test"] });
  page.say();
  const fine = ["https://api.test/chat", "https://api.test/chat/1", "https://api.test/chat?a", "https://other.test/x"];
  const not = ["/api", "https://api.test/chatter", "https://api.test/", "https://api.test.evil.test/chat", "http://other.test/x", "https://other.test:81/"];
  for (const address of [...fine, ...not]) page.context.fetch(address);
  assert.deepEqual(page.requests.filter(({ headers }) => headers.traceparent).map(({ address }) => address), fine);
});

test("a traceparent that is there stays, and its trace is noted once", () => {
  const page = openPage();
  page.context.parleyCarry(page.thread);
  page.say();
  const headers = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };
  page.context.fetch("/api/chat", { headers });
  page.context.fetch(new Request("https://shop.test/api", { headers }));
  assert.deepEqual(page.requests.map((request) => request.headers.traceparent), [headers.traceparent, headers.traceparent]);
  assert.equal(page.requests[0].headers.baggage, undefined);
  assert.deepEqual(JSON.parse(JSON.stringify(page.events)), [["$trace", { target: id, trace: "0af7651916cd43dd8448eb211c80319c" }]]);
});

test("baggage that is there is kept in front, and can be switched off", () => {
  const page = openPage();
  page.context.parleyCarry(page.thread);
  page.say();
  page.context.fetch("/api", { headers: { baggage: "a=1" } });
  assert.match(page.requests[0].headers.baggage, /^a=1,chat\.message\.id=/);
  page.context.fetch("/api", { headers: { baggage: "a=" + "1".repeat(8192) } });
  assert.equal(page.requests[1].headers.baggage, "a=" + "1".repeat(8192));
  const quiet = openPage();
  quiet.context.parleyCarry(quiet.thread, { baggage: false });
  quiet.say();
  quiet.context.fetch("/api");
  assert.equal(quiet.requests[0].headers.baggage, undefined);
  assert.ok(quiet.requests[0].headers.traceparent);
});

test("an id that is no UUID goes in baggage alone", () => {
  const page = openPage({ next: "message-of-the-shop-1" });
  page.context.parleyCarry(page.thread);
  page.say();
  page.context.fetch("/api");
  assert.deepEqual(page.requests[0].headers, { baggage: "chat.message.id=message-of-the-shop-1,chat.thread.id=t%201" });
});

test("XMLHttpRequest carries it too, and keeps an APM's header", () => {
  const page = openPage();
  page.context.parleyCarry(page.thread);
  page.say();
  const send = (headers) => {
    const request = new page.context.XMLHttpRequest();
    request.open("POST", "/api/chat");
    for (const name in headers) request.setRequestHeader(name, headers[name]);
    request.send("body");
  };
  send({ baggage: "a=1" });
  send({ traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" });
  assert.match(page.requests[0].headers.baggage, /^a=1, chat\.message\.id=/);
  assert.match(page.requests[0].headers.traceparent, new RegExp(trace));
  assert.equal(page.requests[1].headers.traceparent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  assert.equal(page.events.length, 1);
});

test("an APM that was there first sets the only traceparent, which is noted", () => {
  const trace = "0af7651916cd43dd8448eb211c80319c";
  const page = openPage({
    apm: (prototype) => {
      const { send } = prototype;
      prototype.send = function (body) {
        this.setRequestHeader("traceparent", `00-${trace}-b7ad6b7169203331-01`);
        return send.call(this, body);
      };
    },
  });
  page.context.parleyCarry(page.thread);
  page.say();
  const request = new page.context.XMLHttpRequest();
  request.open("POST", "/api/chat");
  request.send("body");
  assert.equal(page.requests[0].headers.traceparent, `00-${trace}-b7ad6b7169203331-01`);
  assert.match(page.requests[0].headers.baggage, /^chat\.message\.id=/);
  assert.deepEqual(JSON.parse(JSON.stringify(page.events)), [["$trace", { target: id, trace }]]);
});

test("a thread whose functions are put in place later is followed as well", () => {
  const page = openPage();
  page.context.parleyCarry(page.thread);
  Object.assign(page.thread, { trackMessage: () => "0197f3c2-6a02-7d11-8f3b-0c9d2e5a4b61" });
  assert.equal(page.say(), "0197f3c2-6a02-7d11-8f3b-0c9d2e5a4b61");
  page.context.fetch("/api");
  assert.match(page.requests[0].headers.traceparent, /^00-0197f3c26a027d118f3b0c9d2e5a4b61-/);
});

test("nothing of it throws into the page: odd requests go out as they are", () => {
  const page = openPage();
  assert.equal(page.context.parleyCarry(undefined), undefined);
  page.context.parleyCarry(page.thread, { to: ["::nonsense::", "https://shop.test"] });
  page.say();
  page.context.fetch("/api", { mode: "no-cors" });
  page.context.fetch("/api", { headers: { "bad header": "x" }, body: "b" }.body ? { body: "b" } : {});
  page.context.fetch("http://[");
  assert.equal(page.requests.length, 3);
  assert.deepEqual(page.requests[0].headers, {});
});
