// What changes in a project, as it changes: one stream a project, shared by whoever looks at it.
// A hidden tab holds no connection; it comes back with the last number it saw and is told what it missed.
// While the stream can't be had, subscribers are asked to look for themselves.

import { address } from "./api.js";

const BEAT = 250; // milliseconds between two deliveries: faster than that nobody reads
const POLL = 5000; // between two looks without a stream
const FIRST_WAIT = 1000, LONGEST_WAIT = 60_000; // the back-off doubles between these
const PATIENCE = 3000; // a stream that isn't open by then counts as not to be had

const streams = new Map(); // project → Stream

/// `onChange(changes)` gets [{ thread, type, id }]; `onReset()` says that too much was missed: load anew.
/// `onPoll()` is called every five seconds while there is no stream (without it, `onReset` is).
/// `onState(open)` says whether the stream is there. Answers with the function that stops it.
export function live(project, subscriber) {
  let stream = streams.get(project);
  if (!stream) { stream = new Stream(project); streams.set(project, stream); }
  stream.subscribers.add(subscriber);
  subscriber.onState?.(stream.open);
  let stopped = false;
  return () => {
    if (stopped) return;
    stopped = true;
    stream.subscribers.delete(subscriber);
    if (stream.subscribers.size === 0) { stream.end(); streams.delete(project); }
  };
}

class Stream {
  subscribers = new Set();
  open = false;
  #project; #source = null; #last = null; #wait = FIRST_WAIT;
  #waiting = []; #beat = 0; #retry = 0; #patience = 0; #polling = 0;
  #visibility = () => document.visibilityState === "visible" ? this.#connect() : this.#rest();

  constructor(project) {
    this.#project = project;
    document.addEventListener("visibilitychange", this.#visibility);
    if (document.visibilityState === "visible") this.#connect();
  }

  end() {
    document.removeEventListener("visibilitychange", this.#visibility);
    this.#rest();
    clearTimeout(this.#beat);
    this.subscribers.clear();
  }

  #connect() {
    this.#rest();
    const resumes = this.#last !== null;
    const source = this.#source = new EventSource(address("v1/live", { project: this.#project, after: this.#last }), { withCredentials: true });
    this.#patience = setTimeout(() => this.#poll(0), PATIENCE);
    const begun = Date.now();
    const at = (message) => { if (message.lastEventId) this.#last = message.lastEventId; };
    source.addEventListener("open", () => {
      this.#wait = FIRST_WAIT;
      clearTimeout(this.#patience);
      clearTimeout(this.#polling);
      this.#tell(true);
    });
    source.addEventListener("ready", (message) => {
      at(message);
      const sequence = read(message)?.sequence;
      // A first stream that was long in coming says nothing of what happened meanwhile.
      if (!resumes && Date.now() - begun > FIRST_WAIT) this.#look();
      if (this.#last === null && Number.isFinite(sequence)) this.#last = String(sequence);
    });
    source.addEventListener("change", (message) => {
      at(message);
      const changes = read(message)?.changes;
      if (Array.isArray(changes)) this.#collect(changes.filter((change) => change !== null && typeof change === "object"));
    });
    source.addEventListener("reset", (message) => {
      at(message);
      this.#waiting = [];
      this.#each((subscriber) => subscriber.onReset?.());
    });
    source.addEventListener("error", () => {
      if (source !== this.#source) return;
      // The browser's own retry has no jitter and gives up at the first status that isn't 200; ours does neither.
      this.#rest();
      this.#retry = setTimeout(() => this.#connect(), this.#wait / 2 + Math.random() * this.#wait / 2);
      this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
      this.#poll(FIRST_WAIT);
    });
  }

  /// No connection, no timers; the number of the last change is kept.
  #rest() {
    clearTimeout(this.#retry);
    clearTimeout(this.#patience);
    clearTimeout(this.#polling);
    this.#source?.close();
    this.#source = null;
    this.#tell(false);
  }

  #poll(wait) {
    clearTimeout(this.#polling);
    this.#polling = setTimeout(() => {
      if (this.open) return;
      this.#look();
      this.#poll(POLL);
    }, wait);
  }

  #look() { this.#each((subscriber) => (subscriber.onPoll ?? subscriber.onReset)?.call(subscriber)); }

  #collect(changes) {
    this.#waiting.push(...changes);
    this.#beat ||= setTimeout(() => {
      this.#beat = 0;
      const changes = this.#waiting.splice(0);
      if (changes.length > 0) this.#each((subscriber) => subscriber.onChange?.(changes));
    }, BEAT);
  }

  #tell(open) {
    if (this.open === open) return;
    this.open = open;
    this.#each((subscriber) => subscriber.onState?.(open));
  }

  /// One subscriber that fails must not take the others with it.
  #each(told) {
    for (const subscriber of [...this.subscribers]) try { told(subscriber); } catch (error) { console.error(error); }
  }
}

function read(message) {
  try { return JSON.parse(message.data); } catch { return null; }
}
