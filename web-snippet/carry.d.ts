// Types of the add-on that carries messages to the page's backend. `import { carry } from "…/parley-carry.mjs"`, or the global
// `parleyCarry` of the script tag.
import type { Thread } from "./snippet";

export interface CarryOptions {
  /** Addresses whose requests carry the message, each the beginning of one. Without it the page's own origin. */
  to?: string | string[];
  /** false leaves the `baggage` header out. */
  baggage?: boolean;
}

/** Follows a thread's messages, and gives the thread back. */
export function carry<T extends Thread>(thread: T, options?: CarryOptions): T;

declare global {
  interface Window {
    parleyCarry?: typeof carry;
  }
}
