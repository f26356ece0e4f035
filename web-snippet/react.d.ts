// Types of the React binding. `import { useChat } from "./parley-react.mjs"`, React 18 or newer. They need no types of React's.

export type Role = "user" | "assistant" | "system" | "tool";

export interface User {
  id: string;
  props?: Record<string, unknown>;
}

export interface Block {
  type: string;
  [field: string]: unknown;
}

export interface MessageStream {
  readonly id: string;
  append(text: string): void;
  end(more?: { interrupted?: boolean; metadata?: Record<string, unknown> }): unknown;
}

export interface StreamOptions {
  role?: Role;
  id?: string;
  replyTo?: string;
  retryOf?: string;
  tags?: string[];
  metadata?: Record<string, unknown>;
}

/** What the hooks need of a thread: one of the browser client's is one. */
export interface Thread {
  readonly id: string;
  trackMessage(message: StreamOptions & { role: Role; content: string | Block[]; at?: number | string }): string;
  trackEvent(name: string, metadata?: Record<string, unknown>): void;
  streamMessage?(options?: StreamOptions): MessageStream;
}

/** What the hooks need of a client: the browser client, and what its `init` answers, are ones. */
export interface Client {
  openThread(options?: { id?: string; tags?: string[]; user?: User; metadata?: Record<string, unknown> }): Thread;
  trackFeedback(id: string, vote: { thumb?: "up" | "down" | null; comment?: string }): void;
}

/** Hands a client to the hooks below it. */
export function ParleyProvider(props: { client?: Client; children?: any }): any;

export interface ThreadOptions {
  /** Without it a new one for each mount. Give one where the id is rendered on a server, or a chat is taken up again. */
  id?: string;
  tags?: string[];
  user?: User;
  metadata?: Record<string, unknown>;
  /** Without it ParleyProvider's, or else `window.parley`. */
  client?: Client;
}

export interface HookThread extends Thread {
  streamMessage(options?: StreamOptions): MessageStream;
}

/** One conversation for as long as the component is mounted, or `id` stays the same. Opened by what is first tracked in it. */
export function useThread(options?: ThreadOptions): HookThread;

export interface ChatMessage {
  id: string;
  role: Role;
  content: string | Block[];
  /** Of an answer. */
  status?: "streaming" | "done" | "interrupted" | "error";
  replyTo?: string;
  /** As voted here. */
  thumb?: "up" | "down" | null;
}

export interface SendOptions {
  /** The id of the user's message: the parent of the backend's runs. */
  messageId: string;
  threadId: string;
  /** What was said before. */
  history: { id: string; role: Role; content: string | Block[] }[];
  /** The answer that this one says again. */
  retryOf?: string;
  /** Aborted by stop(), by the next question, and when the component goes. */
  signal: AbortSignal;
}

type Piece = string | Uint8Array;
export type Answer = string | Iterable<Piece> | AsyncIterable<Piece> | ReadableStream<Piece>;

export interface ChatOptions<Content extends string | Block[] = string> extends ThreadOptions {
  /** Gives the answer, whole or in pieces, now or later. What it throws becomes `error`. */
  send(content: Content, options: SendOptions): Answer | Promise<Answer>;
  /** Instead of one of the hook's own. */
  thread?: Thread;
  /** What was said before the component came; it is not recorded again. */
  initialMessages?: ChatMessage[];
}

export interface Chat<Content extends string | Block[] = string> {
  messages: ChatMessage[];
  status: "ready" | "submitted" | "streaming" | "error";
  error: unknown;
  thread: Thread;
  /** Records the question and asks `send`. An answer under way is stopped. Answers the question's id. */
  ask(content: Content): string;
  /** Asks the last question again; the new answer takes the place of the last. */
  regenerate(): void;
  /** Ends the answer under way, recorded as far as it came, as interrupted. */
  stop(): void;
  /** null takes the vote back. */
  vote(id: string, thumb: "up" | "down" | null, comment?: string): void;
}

/** A chat and its record. Call `ask` in event handlers. */
export function useChat<Content extends string | Block[] = string>(options: ChatOptions<Content>): Chat<Content>;

/** A message as other hooks hold it: with `content`, or with `parts` as the Vercel AI SDK's. */
export interface OtherMessage {
  id: string;
  role: string;
  content?: any;
  parts?: readonly any[];
  createdAt?: Date | number | string;
}

export interface RecordOptions extends ThreadOptions {
  /** Of the hook that holds the messages. An answer is recorded when it is neither `submitted` nor `streaming`. */
  status?: "ready" | "submitted" | "streaming" | "error";
  error?: unknown;
  /** Instead of one of the hook's own. */
  thread?: Thread;
  /** true records what is there at the first render too; without it that is taken for an earlier visit's. */
  recordInitial?: boolean;
}

/**
 * Records what another hook holds: each message once, an answer when it is finished. `idOf` gives the id a message is
 * recorded under: its own, where that is hard to guess.
 */
export function useRecordedChat(messages: readonly OtherMessage[], options?: RecordOptions): { thread: Thread; idOf(id: string): string | undefined };
