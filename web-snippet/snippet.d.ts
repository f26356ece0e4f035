// Types of the browser client. `import { init } from "…/parley.mjs"`, or the global `parley` of the script tag.

export type Role = "user" | "assistant" | "system" | "tool";

/** What became of an event. All but `retry` are final. */
export type Verdict = "stored" | "duplicate" | "conflict" | "quarantined" | "dropped" | "retry";

export interface User {
  id: string;
  props?: Record<string, unknown>;
}

/** A part of a message that is more than text. */
export interface Block {
  type: string;
  [field: string]: unknown;
}

export interface InitOptions {
  /** A public key, `pk_…`. */
  key: string;
  /** Where the gateway is, with any path prefix: `https://chat.example.com`. */
  url: string;
  /** Looks at each event before anything else does; null keeps it from being recorded. Its id and type stay what they are. */
  beforeSend?: BeforeSend;
  /** Keep what has no verdict in localStorage for the next visit: 200 events, 256 KB, a day at most. Off unless asked for. */
  storage?: boolean;
  /** Nothing leaves, and nothing is kept, until setConsent. */
  consent?: "required";
  /** Verdicts come with receipts: hand `{id, receipt}` to your backend, and its runs prove that they are for that message. */
  receipts?: boolean;
  /** Every warning in the console, not just the first. */
  debug?: boolean;
}

/** An event as it will be sent, shapes by type as in the protocol. */
export interface TrackedEvent {
  readonly id: string;
  readonly type: string;
  thread?: string;
  content?: string | Block[];
  [field: string]: unknown;
}

export type BeforeSend = (event: TrackedEvent) => TrackedEvent | null;

/** True or false speak of both. Storage only ever happens where sending does. */
export type Consent = boolean | { send?: boolean; storage?: boolean };

/** A JWT that proves the user's id, or a function that fetches one; asked anew when one has run out. */
export type Token = string | (() => string | Promise<string>);

export interface ThreadOptions {
  /** 1-128 characters. Without it a new UUIDv7. */
  id?: string;
  tags?: string[];
  user?: User;
  metadata?: Record<string, unknown>;
}

export interface Message {
  role: Role;
  content: string | Block[];
  /** The message's own id, where the page already has one that is hard to guess. Without it a new UUIDv7. */
  id?: string;
  /** When it was said; epoch milliseconds or ISO 8601. Without it now. */
  at?: number | string;
  /** The message this one answers. */
  replyTo?: string;
  /** The message this one says again, after an edit or a regenerate. */
  retryOf?: string;
  /** Instead of `retryOf`: says again the thread's last message of the same role. */
  isRetry?: boolean;
  tags?: string[];
  metadata?: Record<string, unknown>;
}

/** A message that is still being written. */
export interface MessageStream {
  /** What the message will be recorded under; hand it to whom it concerns at once. */
  readonly id: string;
  append(piece: string): void;
  /** Records the whole, with its pace in `metadata.deltas`. Answers the id it is recorded under. */
  end(more?: Partial<Omit<Message, "content" | "id">> & { interrupted?: boolean }): string;
}

export interface Thread {
  readonly id: string;
  /** Returns the message's id at once; hand it to the backend as the parent of its runs. */
  trackMessage(message: Message): string;
  /** Anything that happened in the chat: opened a document, clicked, went idle. */
  trackEvent(name: string, metadata?: Record<string, unknown>): void;
  /** The assistant's, unless another role is given. Left open when the page goes, it is recorded as it stands, `interrupted`. */
  streamMessage(message?: Partial<Omit<Message, "content">>): MessageStream;
}

export interface Vote {
  /** null, or nothing, takes the vote back. */
  thumb?: "up" | "down" | null;
  comment?: string;
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

export interface Client {
  openThread(options?: ThreadOptions): Thread;
  trackFeedback(id: string, vote: Vote): void;
  identify(id: string, props?: Record<string, unknown>, options?: { token?: Token }): void;
  setConsent(consent: Consent): void;
  /** True when all that was tracked before the call has its verdict; false when it has not within ten seconds. */
  flush(): Promise<boolean>;
  on(name: "verdict", listener: (notice: VerdictNotice) => void): void;
  off(name: "verdict", listener: (notice: VerdictNotice) => void): void;
}

/**
 * Idempotent per key. The functions below speak to the first key's client; the answer speaks to this key's. Called again it
 * changes the hook, storage, receipts and debug; then key and url may be left out.
 */
export function init(options: InitOptions | Partial<InitOptions>): Client;
export function openThread(options?: ThreadOptions): Thread;
export function trackFeedback(id: string, vote: Vote): void;
export function identify(id: string, props?: Record<string, unknown>, options?: { token?: Token }): void;
export function setConsent(consent: Consent): void;
export function flush(): Promise<boolean>;
export function on(name: "verdict", listener: (notice: VerdictNotice) => void): void;
export function off(name: "verdict", listener: (notice: VerdictNotice) => void): void;
export const version: string;

declare global {
  interface Window {
    /** Set by parley.js and, before it is there, by the loader. */
    parley?: Client & { init(options: InitOptions | Partial<InitOptions>): Client; readonly version?: string };
  }
}
