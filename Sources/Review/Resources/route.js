// The address of the page. All state a reader could want to share is in the hash:
//   #/PROJECT?q=…              the list, with the filters of the read API under the same names
//   #/PROJECT/THREAD?m=…&q=…   a conversation, one message of it marked, the list as it was
//   #/PROJECT?view=quarantine  and view=outcomes

export const FILTERS = ["q", "user", "tag", "role", "feedback", "from", "to", "status"];

function decode(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

export function parse(hash) {
  const text = hash.replace(/^#\/?/, "");
  const mark = text.indexOf("?");
  const path = mark < 0 ? text : text.slice(0, mark);
  const parameters = new URLSearchParams(mark < 0 ? "" : text.slice(mark + 1));
  const slash = path.indexOf("/");
  const filters = {};
  for (const name of FILTERS) if (parameters.get(name)) filters[name] = parameters.get(name);
  return {
    project: decode(slash < 0 ? path : path.slice(0, slash)) || null,
    thread: slash < 0 ? null : decode(path.slice(slash + 1)) || null,
    message: parameters.get("m"),
    view: parameters.get("view") ?? "threads",
    reason: parameters.get("reason"),
    filters,
  };
}

export function format({ project, thread, message, view, reason, filters = {} }) {
  const parameters = new URLSearchParams();
  if (view && view !== "threads") parameters.set("view", view);
  if (reason) parameters.set("reason", reason);
  if (message) parameters.set("m", message);
  for (const name of FILTERS) if (filters[name]) parameters.set(name, filters[name]);
  const query = parameters.toString();
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
