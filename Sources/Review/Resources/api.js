// The read API. One function asks, one error type carries the sentence the gateway answered with.

const root = new URL("../", import.meta.url); // the page lives in /ui/, the API beside it

export class Refused extends Error {
  constructor(status, { code, message, retryAfterMs, doc } = {}) {
    super(message || (status ? `The gateway answered ${status}.` : "The gateway doesn't answer."));
    this.status = status;
    this.code = code ?? null;
    this.retryAfterMs = retryAfterMs ?? null;
    this.doc = typeof doc === "string" && /^\/(?!\/)/.test(doc) ? doc : null; // only a page of this gateway
  }
  get signedOut() { return this.status === 401; }
}

export function address(path, query = {}) {
  const url = new URL(path, root);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  return url.href;
}

export async function ask(path, { method = "GET", query, body, signal } = {}) {
  let response;
  try {
    response = await fetch(address(path, query), {
      method,
      signal,
      credentials: "same-origin",
      cache: "no-store",
      headers: body === undefined ? { Accept: "application/json" } : { Accept: "application/json", "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (failure) {
    if (failure.name === "AbortError") throw failure;
    throw new Refused(0, { code: "unreachable", message: "The gateway doesn't answer. Check that it is running and reachable from here." });
  }
  const text = await response.text();
  let answer = null;
  try { answer = text ? JSON.parse(text) : null; } catch { /* not JSON: a proxy's page; the status says enough */ }
  if (!response.ok) throw new Refused(response.status, answer?.error);
  return answer;
}

export const session = {
  current: () => ask("ui/session"),
  open: (token) => ask("ui/session", { method: "POST", body: { token } }),
  close: () => ask("ui/session", { method: "DELETE" }),
};

export const projects = () => ask("v1/projects");

/// The read API of one project.
export function reader(project) {
  const get = (path, query, signal) => ask(path, { query: { project, ...query }, signal });
  return {
    threads: (query, signal) => get("v1/threads", query, signal),
    thread: (id, query, signal) => get(`v1/threads/${encodeURIComponent(id)}`, query, signal),
    message: (id, signal) => get(`v1/messages/${encodeURIComponent(id)}`, {}, signal),
    quarantine: (query, signal) => get("v1/quarantine", query, signal),
    outcomes: (query, signal) => get("v1/outcomes", query, signal),
    replay: (body) => ask("v1/quarantine/replay", { method: "POST", query: { project }, body }),
    exportAddress: (format, filters) => address("v1/export", { project, format, ...filters }),
  };
}
