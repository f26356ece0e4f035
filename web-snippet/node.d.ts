// Types of the client for JavaScript backends. `import { init } from "./parley-node.mjs"`, node 18 or newer.

export type Role = "user" | "assistant" | "system" | "tool";

/** What became of an event. All but `retry` are final. */
export type Verdict = "stored" | "duplicate" | "conflict" | "quarantined" | "dropped" | "retry";

export type RunKind = "llm" | "agent" | "tool" | "chain" | "retriever" | "embedding";

/** Epoch milliseconds or ISO 8601. */
export type Time = number | string;

export interface User {
  id: string;
  props?: Record<string, unknown>;
}

/** A part of a message that is more than text. */
export interface Block {
  type: string;
  [field: string]: unknown;
}

/** An event as it goes over the wire. */
export interface Event {
  readonly type: string;
  readonly id: string;
  [field: string]: unknown;
}

export interface InitOptions {
  /** A secret key, `sk_…`. Without it the environment's PARLEY_SECRET_KEY. */
  key?: string;
  /** Where the gateway is, with any path prefix: `https://chat.example.com`. Without it the environment's PARLEY_URL. */
  url?: string;
  /** Gives back the event, changed or not, or null to drop it. Its `id` and `type` stay. If it throws, the event is dropped. */
  beforeSend?: (event: Event) => Record<string, unknown> | null;
  /** Whether verdicts come with receipts, which prove to whoever holds them that an event is stored. */
  receipts?: boolean;
  /** How many events may wait; 10,000 without it. At the bound the oldest is dropped, custom events first. */
  queueEvents?: number;
  /** How many bytes of them; 64 MiB without it. */
  queueBytes?: number;
}

/** What a test of an application replaces. */
export interface Machine {
  /** Milliseconds since 1970. */
  now(): number;
  /** Milliseconds that only go forward. */
  clock(): number;
  random(): number;
  fetch(url: string, options: Record<string, unknown>): Promise<unknown>;
  setTimer(work: () => void, ms: number): unknown;
  clearTimer(timer: unknown): void;
}

export interface ThreadOptions {
  /** 1-128 characters. Without it a new UUIDv7. */
  id?: string;
  tags?: string[];
  /** Of this thread's messages and runs, unless they name another. */
  user?: User;
  metadata?: Record<string, unknown>;
}

export interface StreamOptions {
  /** Without it `assistant`. */
  role?: Role;
  /** The message's own id. Without it a new UUIDv7. */
  id?: string;
  /** The message this one answers. */
  replyTo?: string;
  /** The message this one says again, after an edit or a regenerate. */
  retryOf?: string;
  /** Instead of `retryOf`: says again the thread's last message of the same role. */
  isRetry?: boolean;
  tags?: string[];
  user?: User;
  metadata?: Record<string, unknown>;
  /** The W3C trace id or traceparent of the work behind it. */
  trace?: string;
}

export interface Message extends StreamOptions {
  role: Role;
  content: string | Block[];
  /** When it was said. Without it now. */
  at?: Time;
}

export interface MessageStream {
  readonly id: string;
  append(text: string): void;
  /** Tracks the message, once. Answers its id. */
  end(more?: { interrupted?: boolean; tags?: string[]; metadata?: Record<string, unknown> }): string;
}

/** What can be said of a run at any time. */
export interface RunFacts {
  name?: string;
  input?: unknown;
  output?: unknown;
  model?: string;
  provider?: string;
  /** Counts, such as tokens. */
  usage?: Record<string, unknown>;
  /** In US dollars. */
  cost?: number;
  success?: boolean;
  error?: unknown;
  tags?: string[];
  metadata?: Record<string, unknown>;
  /** What the user said and what was answered, where the run is a whole turn of a thread. */
  question?: string;
  answer?: string;
  /** The W3C trace it is part of, and those it links to. */
  trace?: string;
  linkedTraces?: string[];
  extra?: Record<string, unknown>;
}

export interface RunOptions extends RunFacts {
  kind: RunKind;
  id?: string;
  /** The message or run this work is done for, seen by the gateway or not. Without it that of `withParent`. */
  parent?: string | null;
  /** The receipt that `parent` was given with: it proves that this run is for that message. A wrong one puts the run in quarantine. */
  receipt?: string;
  thread?: string;
  /** The run it is a step of, where `parent` names the message behind both. */
  within?: string;
  user?: User;
  startedAt?: Time;
}

export interface RunEnding extends RunFacts {
  endedAt?: Time;
}

export interface Run {
  readonly id: string;
  readonly ended: boolean;
  /** A step of this run. */
  startRun(options: RunOptions): Run;
  /** Once. `success` is true without an `error`, unless said. */
  end(ending?: RunEnding): void;
}

export interface Thread {
  readonly id: string;
  /** Answers the message's id at once. */
  trackMessage(message: Message): string;
  /** A message that comes piece by piece. It is tracked when it ends, with its pace. */
  streamMessage(options?: StreamOptions): MessageStream;
  /** Anything that happened in the chat. */
  trackEvent(name: string, metadata?: Record<string, unknown>): void;
  startRun(options: RunOptions): Run;
  trackRun(options: RunOptions & RunEnding): string;
  run<T>(options: RunOptions, work: (run: Run) => T): T;
}

export interface Vote {
  /** null, or nothing, takes the vote back. */
  thumb?: "up" | "down" | null;
  comment?: string;
  /** A reviewer's name; the vote then stands beside those of the people who chat. */
  author?: string;
  /** Whose vote it is, without an author: one counts for each user, or else for each thread. */
  user?: User;
  thread?: string;
  at?: Time;
}

export interface Score {
  name: string;
  /** The judgement as a number, a word, or both. */
  value?: number;
  category?: string;
  reason?: string;
  author?: string;
  /** Without it `program`. */
  judge?: "person" | "program";
  /** Takes the score of that name and author back. */
  removed?: true;
  thread?: string;
  at?: Time;
}

export interface VerdictNotice {
  id: string;
  type: string;
  verdict: Verdict;
  /** Why, unless `stored` or `duplicate`. */
  reason?: string;
  /** Where `receipts` were asked for: the gateway's signed word that this event is stored. */
  receipt?: string;
}

export interface ReceiptNotice {
  valid: boolean;
  /** When it was stored, ISO 8601; of a valid one. */
  at?: string;
}

export interface Client {
  openThread(options?: ThreadOptions): Thread;
  /** Work that begins now. Its start and its end are two events with one id. */
  startRun(options: RunOptions): Run;
  /** Work that is over. Answers its id. */
  trackRun(options: RunOptions & RunEnding): string;
  /** Does the work as a run: its answer is the output, what it throws the error, and runs begun in it are its steps. */
  run<T>(options: RunOptions, work: (run: Run) => T): T;
  /** Runs begun in `work`, also later in its promises, have this parent, and its receipt, unless they name another. */
  withParent<T>(id: string, work: () => T, receipt?: string): T;
  trackFeedback(target: string, vote: Vote): void;
  trackScore(target: string, score: Score): void;
  /** What is known of a user. */
  identify(id: string, props?: Record<string, unknown>): void;
  /** Whether a receipt is the gateway's word that this id is stored; null where the gateway could not be asked. */
  verifyReceipt(id: string, receipt: string): Promise<ReceiptNotice | null>;
  /** True when all that was tracked before the call has its verdict; false when it has not in time (10,000 ms). */
  flush(timeoutMs?: number): Promise<boolean>;
  /** Flushes, then drops what is left, and what comes, as `closed`. Call it before `process.exit()`. */
  close(timeoutMs?: number): Promise<boolean>;
  on(name: "verdict", listener: (notice: VerdictNotice) => void): void;
  off(name: "verdict", listener: (notice: VerdictNotice) => void): void;
}

/** Idempotent per key and address. The functions below speak to the first client; the answer speaks to this one. */
export function init(options?: InitOptions, replaced?: Partial<Machine>): Client;
export function openThread(options?: ThreadOptions): Thread;
export function startRun(options: RunOptions): Run;
export function trackRun(options: RunOptions & RunEnding): string;
export function run<T>(options: RunOptions, work: (run: Run) => T): T;
export function withParent<T>(id: string, work: () => T, receipt?: string): T;
export function trackFeedback(target: string, vote: Vote): void;
export function trackScore(target: string, score: Score): void;
export function identify(id: string, props?: Record<string, unknown>): void;
export function verifyReceipt(id: string, receipt: string): Promise<ReceiptNotice | null>;
export function flush(timeoutMs?: number): Promise<boolean>;
export function close(timeoutMs?: number): Promise<boolean>;
export function on(name: "verdict", listener: (notice: VerdictNotice) => void): void;
export function off(name: "verdict", listener: (notice: VerdictNotice) => void): void;
export const version: string;
