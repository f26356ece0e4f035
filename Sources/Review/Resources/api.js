// What the page asks the gateway. One function asks, one error type carries the sentence the gateway answered with.

import { t } from "./words.js";

const root = new URL("../", import.meta.url); // the page lives in /ui/, the API beside it

export class Refused extends Error {
  constructor(status, given) {
    const { code, message, field, retryAfterMs, doc } = given !== null && typeof given === "object" ? given : {};
    super(typeof message === "string" && message ? message : status ? t("error.status", { status: String(status) }) : t("error.silent"));
    this.status = status;
    this.code = typeof code === "string" ? code : null;
    this.field = typeof field === "string" ? field : null;
    this.retryAfterMs = typeof retryAfterMs === "number" && retryAfterMs >= 0 ? retryAfterMs : null;
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
    throw new Refused(0, { code: "unreachable", message: t("error.unreachable") });
  }
  const text = await response.text();
  let answer = null;
  try { answer = text ? JSON.parse(text) : null; } catch { /* not JSON: a proxy's page; the status says enough */ }
  if (!response.ok) throw new Refused(response.status, answer?.error);
  return answer;
}

const post = (path, body, query) => ask(path, { method: "POST", body, query });
const part = encodeURIComponent; // an id as one segment of a path

export const session = {
  current: () => ask("ui/session"),
  open: (token) => post("ui/session", { token }),
  openWithPassword: (name, password) => post("ui/session", { name, password }),
  close: () => ask("ui/session", { method: "DELETE" }),
  changePassword: (current, next) => ask("ui/session/password", { method: "PUT", body: { current, new: next } }),
};

export const projects = () => ask("v1/projects");

export const project = {
  create: (name, origins) => post("v1/projects", { name, origins }),
  read: (id) => ask(`v1/projects/${part(id)}`),
  change: (id, body) => ask(`v1/projects/${part(id)}`, { method: "PATCH", body }),
  remove: (id, name) => ask(`v1/projects/${part(id)}`, { method: "DELETE", body: { name } }),
  scrub: (id, rules, text) => post("v1/scrubbing/preview", { rules, text }, { project: id }),
};

export const members = {
  list: () => ask("v1/members"),
  invite: (body) => post("v1/members", body),
  change: (id, body) => ask(`v1/members/${part(id)}`, { method: "PATCH", body }),
  remove: (id) => ask(`v1/members/${part(id)}`, { method: "DELETE" }),
  link: (id) => post(`v1/members/${part(id)}/link`, {}),
};

/// Everything that belongs to one project.
export function reader(project) {
  const get = (path, query, signal) => ask(path, { query: { project, ...query }, signal });
  const send = (method) => (path, body, query) => ask(path, { method, body, query: { project, ...query } });
  const [postTo, put, patch, remove] = ["POST", "PUT", "PATCH", "DELETE"].map(send);
  return {
    threads: (query, signal) => get("v1/threads", query, signal),
    thread: (id, query, signal) => get(`v1/threads/${part(id)}`, query, signal),
    message: (id, query, signal) => query instanceof AbortSignal ? get(`v1/messages/${part(id)}`, {}, query) : get(`v1/messages/${part(id)}`, query, signal),
    run: (id, signal) => get(`v1/runs/${part(id)}`, {}, signal),

    patchThread: (id, body) => patch(`v1/threads/${part(id)}`, body),
    seen: (id) => postTo(`v1/threads/${part(id)}/seen`, {}),
    feedback: (message, body) => put(`v1/messages/${part(message)}/feedback`, body),
    score: (body) => postTo("v1/scores", body),
    unscore: (target, name) => remove("v1/scores", undefined, { target, name }),
    comment: (body) => postTo("v1/comments", body),
    editComment: (id, body) => patch(`v1/comments/${part(id)}`, body),
    removeComment: (id) => remove(`v1/comments/${part(id)}`),
    scoreNames: () => get("v1/score-names"),
    tags: () => get("v1/tags"),

    views: () => get("v1/views"),
    saveView: (body) => postTo("v1/views", body),
    removeView: (id) => remove(`v1/views/${part(id)}`),

    overview: (query, signal) => get("v1/overview", query, signal),
    users: (query, signal) => get("v1/users", query, signal),
    user: (id, signal) => get(`v1/users/${part(id)}`, {}, signal),
    eraseUser: (id) => remove(`v1/users/${part(id)}`),

    outcomes: (query, signal) => get("v1/outcomes", query, signal),
    quarantine: (query, signal) => get("v1/quarantine", query, signal),
    quarantineGroups: (signal) => get("v1/quarantine/groups", {}, signal),
    replay: (body) => postTo("v1/quarantine/replay", body),
    dismiss: (body) => remove("v1/quarantine", body),

    keys: () => get("v1/keys"),
    createKey: (body) => postTo("v1/keys", body),
    revokeKey: (id) => remove(`v1/keys/${part(id)}`),
    audit: (query) => get("v1/audit", query),

    exportAddress: (format, filters) => address("v1/export", { project, format, ...filters }),
  };
}
