// Uses everything that the declarations declare, the way an application would. Nothing here is run: see types.test.js.
import * as browser from "../snippet";
import * as backend from "../node";
import * as react from "../react";
import { carry } from "../carry";

// ---------------------------------------------------------------------------------------------------------- in a page

const client: browser.Client = browser.init({
  key: "pk_0", url: "https://chat.example.com", storage: true, consent: "required", debug: true,
  beforeSend: (event) => (event.type === "event" ? null : { ...event, content: "[removed]" }),
});
browser.init({ storage: false });
const thread: browser.Thread = client.openThread({ id: "t-1", tags: ["billing"], user: { id: "u1", props: { plan: "pro" } }, metadata: { page: "/" } });
const asked: string = thread.trackMessage({ role: "user", content: "Hello", at: Date.now(), tags: ["a"], metadata: { n: 1 } });
thread.trackMessage({ role: "assistant", content: [{ type: "text", text: "Hi" }], replyTo: asked, retryOf: asked, isRetry: true, id: "0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d10", at: "2026-11-21T02:51:10.887Z" });
thread.trackEvent("opened", { document: "terms" });
client.trackFeedback(asked, { thumb: "up", comment: "good" });
client.trackFeedback(asked, { thumb: null });
client.identify("u1", { plan: "pro" });
client.identify("u1", {}, { token: async () => "JWT" });
client.setConsent({ send: true, storage: false });
const written: browser.MessageStream = thread.streamMessage({ replyTo: asked });
written.append("Hi");
const writtenID: string = written.end({ interrupted: true, tags: ["a"], metadata: { model: "small-1" } });
const told = ({ id, type, verdict, reason }: browser.VerdictNotice) => console.log(id.length, type, verdict === "stored", reason && reason.length);
client.on("verdict", told);
client.off("verdict", told);
client.flush().then((arrived: boolean) => arrived);
browser.openThread().trackEvent("idle");
browser.trackFeedback(asked, {});
browser.identify("u1", {}, { token: "JWT" });
browser.setConsent(true);
browser.on("verdict", told);
browser.off("verdict", told);
browser.flush().then((arrived: boolean) => arrived);
const text: string = browser.version + backend.version;
if (window.parley) window.parley.init({ key: "pk_0", url: "/parley" }).openThread();
const carried: browser.Thread = carry(thread, { to: ["https://api.example.com"], baggage: false });

// @ts-expect-error: a role that is none
thread.trackMessage({ role: "bot", content: "Hi" });
// @ts-expect-error: no content
thread.trackMessage({ role: "user" });
// @ts-expect-error: a vote that is none
client.trackFeedback(asked, { thumb: "sideways" });
// @ts-expect-error: a notice that is none
client.on("error", told);

// ------------------------------------------------------------------------------------------------------- in a backend

const server: backend.Client = backend.init({ key: "sk_0", url: "https://chat.example.com", queueEvents: 1, queueBytes: 1, beforeSend: (event) => (event.type === "run" ? null : { ...event, content: "" }) });
backend.init();
const talk: backend.Thread = server.openThread({ id: "t-1", user: { id: "u1" } });
const said: string = talk.trackMessage({ role: "user", content: "Hello", user: { id: "u2" }, trace: "0af7651916cd43dd8448eb211c80319c" });
const stream: backend.MessageStream = talk.streamMessage({ replyTo: said });
stream.append("Hi");
const streamed: string = stream.end({ interrupted: true, metadata: { model: "small-1" } });
const run: backend.Run = server.startRun({ kind: "llm", parent: said, thread: "t-1", input: [{ role: "user" }], model: "small-1", startedAt: 0 });
const step: backend.Run = run.startRun({ kind: "tool", name: "look-up", parent: null });
step.end({ error: new Error("no") });
run.end({ output: "Hi", usage: { inputTokens: 1 }, cost: 0.1, success: true, endedAt: Date.now() });
const over: boolean = run.ended;
const whole: string = talk.trackRun({ kind: "retriever", startedAt: 0, endedAt: 1, output: [] });
const sum: number = server.run({ kind: "chain" }, (own) => own.id.length);
const later: Promise<string> = server.withParent(said, () => talk.run({ kind: "agent" }, async () => "done"));
server.trackFeedback(said, { thumb: "down", author: "Ann", thread: "t-1", user: { id: "u1" } });
server.trackScore(said, { name: "helpfulness", value: 0.5, category: "good", reason: "short", author: "eval", judge: "program" });
server.trackScore(said, { name: "helpfulness", removed: true });
server.identify("u1", { plan: "pro" });
server.on("verdict", ({ verdict }: backend.VerdictNotice) => verdict === "conflict");
server.flush(100).then((arrived: boolean) => server.close().then((closed: boolean) => arrived && closed));
backend.openThread(); backend.startRun({ kind: "tool" }); backend.trackRun({ kind: "tool" }); backend.run({ kind: "tool" }, () => 1);
backend.withParent("m", () => 1); backend.trackFeedback("m", {}); backend.trackScore("m", { name: "n", value: 1 }); backend.identify("u");
backend.flush(); backend.close(); backend.on("verdict", () => {}); backend.off("verdict", () => {});

// @ts-expect-error: no kind
server.startRun({ name: "answer" });
// @ts-expect-error: a kind that is none
server.startRun({ kind: "magic" });
// @ts-expect-error: no name
server.trackScore(said, { value: 1 });

// ------------------------------------------------------------------------------------------------------------ in React

function Chat() {
  const own: react.HookThread = react.useThread({ id: "t-1", tags: ["a"], client });
  const chat = react.useChat({
    client,
    thread,
    initialMessages: [{ id: "m", role: "user", content: "Hello" }],
    send: async (text, { messageId, threadId, history, retryOf, signal }) => {
      const body = JSON.stringify({ text: text.trim(), messageId, threadId, retryOf, said: history.map(({ content }) => content) });
      const response = await fetch("/chat", { method: "POST", body, signal });
      return response.body || "";
    },
  });
  const id: string = chat.ask("Hello");
  chat.regenerate();
  chat.stop();
  chat.vote(id, "up", "good");
  const words = chat.messages.map(({ content, status, thumb }) => `${content} ${status} ${thumb}`).join() + (chat.status === "streaming") + chat.error;
  const blocks = react.useChat({ client: browser, send: (content: react.Block[]) => content.map(({ type }) => type) });
  blocks.ask([{ type: "text", text: "Hello" }]);
  react.useChat({ send: async function* (text: string) { yield text; } });
  const { thread: recording, idOf } = react.useRecordedChat([{ id: "a", role: "user", parts: [{ type: "text", text: "Hello" }] }], { status: chat.status, error: chat.error, thread, recordInitial: true });
  react.useRecordedChat([{ id: "a", role: "data", content: "Hello", createdAt: new Date() }]);
  own.streamMessage().append("x");
  // @ts-expect-error: a number is no answer
  react.useChat({ send: () => 7 });
  return [words, recording.id, idOf("a"), react.ParleyProvider({ client: browser, children: [] })];
}

export { text, writtenID, carried, streamed, over, whole, sum, later, Chat };
