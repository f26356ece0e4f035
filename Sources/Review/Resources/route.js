// The address of the page. All state a reader could want to share is in the hash:
//   #/PROJECT?q=…                    the list, with the filters of the read API under the same names
//   #/PROJECT/THREAD?m=…&run=…&q=…   a conversation, one message or run of it marked, the list as it was
//   #/PROJECT/THREAD?play=1&t=12.5   … played, from a moment on
//   #/PROJECT?view=NAME              overview, users (&id= for one), quarantine (&reason=), outcomes, setup (&section=)

export const FILTERS = ["q", "user", "tag", "role", "feedback", "score", "status", "provenance", "error", "runs", "reviewed", "seen", "from", "to"];

function decode(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

function seconds(text) {
  const value = Number.parseFloat(text ?? "");
  return Number.isFinite(value) && value >= 0 ? value : null;
}

/// The filters out of the query part of an address, whatever else stands in it.
export function filtersOf(query) {
  const parameters = query instanceof URLSearchParams ? query : new URLSearchParams(query);
  const filters = {};
  for (const name of FILTERS) if (parameters.get(name)) filters[name] = parameters.get(name);
  return filters;
}

/// The query part of an address, as a saved view keeps it.
export function queryOf(filters) {
  const parameters = new URLSearchParams();
  for (const name of FILTERS) if (filters[name]) parameters.set(name, filters[name]);
  return parameters.toString();
}

export function parse(hash) {
  const text = hash.replace(/^#\/?/, "");
  const mark = text.indexOf("?");
  const path = mark < 0 ? text : text.slice(0, mark);
  const parameters = new URLSearchParams(mark < 0 ? "" : text.slice(mark + 1));
  const slash = path.indexOf("/");
  return {
    project: decode(slash < 0 ? path : path.slice(0, slash)) || null,
    thread: slash < 0 ? null : decode(path.slice(slash + 1)) || null,
    message: parameters.get("m"),
    run: parameters.get("run"),
    play: parameters.get("play") === "1",
    time: seconds(parameters.get("t")),
    view: parameters.get("view") ?? "threads",
    id: parameters.get("id"),
    section: parameters.get("section"),
    reason: parameters.get("reason"),
    filters: filtersOf(parameters),
  };
}

export function format({ project, thread, message, run, play, time, view, id, section, reason, filters = {} }) {
  const parameters = new URLSearchParams();
  if (view && view !== "threads") parameters.set("view", view);
  if (id) parameters.set("id", id);
  if (section) parameters.set("section", section);
  if (reason) parameters.set("reason", reason);
  if (message) parameters.set("m", message);
  if (run) parameters.set("run", run);
  if (play) parameters.set("play", "1");
  if (typeof time === "number") parameters.set("t", String(Math.round(time * 10) / 10));
  const rest = queryOf(filters), own = parameters.toString();
  const query = own && rest ? `${own}&${rest}` : own || rest;
  const path = thread ? `/${encodeURIComponent(thread)}` : "";
  return `#/${project ? encodeURIComponent(project) : ""}${path}${query ? `?${query}` : ""}`;
}

export function sameFilters(a, b) {
  return FILTERS.every((name) => (a[name] ?? "") === (b[name] ?? ""));
}

/// The full address of a hash, for the clipboard.
export function absolute(hash) {
  return `${location.origin}${location.pathname}${hash}`;
}
