// Colour for code: one pass of one expression a language, every step of which consumes, so the time is linear.
// It tells comments, strings, numbers and keywords apart, and nothing finer.

import { el } from "./dom.js";

const MOST = 50_000; // characters; beyond, code is plain text

const words = (text) => new Set(text.split(" "));
const C_LIKE = "if else for while do switch case default break continue return goto static const void int long short char float double unsigned signed struct union enum typedef sizeof extern inline bool true false";
const JS = "async await break case catch class const continue debugger default delete do else export extends false finally for from function get if import in instanceof interface let new null of return set static super switch this throw true try type typeof undefined var void while yield as enum implements namespace private protected public readonly declare";
const KEYWORDS = {
  js: words(JS),
  python: words("and as assert async await break class continue def del elif else except False finally for from global if import in is lambda match None nonlocal not or pass raise return self True try while with yield"),
  swift: words("actor any as associatedtype async await break case catch class continue default defer deinit do else enum extension false fileprivate for func guard if import in init inout internal is let nil open operator package private protocol public repeat rethrows return self Self some static struct subscript super switch throw throws true try typealias var where while"),
  json: words("true false null"),
  css: words("important"),
  sql: words("add all alter and as asc begin between by case check column commit constraint create cross database default delete desc distinct drop else end except exists foreign from full group having if in index inner insert intersect into is join key left like limit not null offset on or order outer primary references returning right rollback select set table then transaction union unique update using values view when where with true false"),
  bash: words("if then else elif fi for while until do done case esac in function return exit export local readonly set unset shift source echo cd test true false"),
  go: words("break case chan const continue default defer else fallthrough for func go goto if import interface map package range return select struct switch type var nil true false iota"),
  rust: words("as async await break const continue crate dyn else enum extern false fn for if impl in let loop match mod move mut pub ref return self Self static struct super trait true type unsafe use where while"),
  java: words("abstract assert boolean break byte case catch char class const continue default do double else enum extends false final finally float for if implements import instanceof int interface long native new null package private protected public record return sealed short static super switch synchronized this throw throws transient true try var void volatile while"),
  c: words(`${C_LIKE} auto catch class constexpr delete explicit friend mutable namespace new noexcept nullptr operator override private protected public template this throw try typename using virtual include define ifdef ifndef endif pragma`),
  yaml: words("true false null yes no on off"),
  html: words(""),
};
const NAMES = {
  javascript: "js", jsx: "js", mjs: "js", ts: "js", tsx: "js", typescript: "js", py: "python", python3: "python", jsonc: "json", json5: "json", scss: "css", less: "css",
  sh: "bash", shell: "bash", zsh: "bash", console: "bash", golang: "go", rs: "rust", kotlin: "java", kt: "java", "c++": "c", cpp: "c", cc: "c", h: "c", hpp: "c", objc: "c", cs: "java", csharp: "java",
  yml: "yaml", toml: "yaml", xml: "html", svg: "html", vue: "html", postgres: "sql", postgresql: "sql", mysql: "sql", sqlite: "sql",
};

// Unclosed comments and strings run to where they must end, never back.
const SLASHES = String.raw`\/\/[^\n]*|\/\*(?:[^*]|\*(?!\/))*(?:\*\/)?`;
const HASH = String.raw`#[^\n]*`;
const QUOTES = String.raw`"(?:[^"\\\n]|\\[^])*"?|'(?:[^'\\\n]|\\[^])*'?`;
const TICKS = "`(?:[^`\\\\]|\\\\[^])*`?";
const TRIPLE = String.raw`"""(?:[^"]|"(?!""))*(?:""")?|'''(?:[^']|'(?!''))*(?:''')?`;
const NUMBER = String.raw`\b(?:0[xXbBoO][\da-fA-F_]+|\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?)`;
const WORD = String.raw`[\p{L}_$][\p{L}\p{N}_$]*`;
const PARTS = {
  js: [SLASHES, `${QUOTES}|${TICKS}`], go: [SLASHES, `${QUOTES}|${TICKS}`], swift: [SLASHES, `${TRIPLE}|${QUOTES}`], java: [SLASHES, `${TRIPLE}|${QUOTES}`],
  rust: [SLASHES, String.raw`"(?:[^"\\]|\\[^])*"?|'(?:[^'\\\n]|\\.)'`], c: [SLASHES, QUOTES], css: [SLASHES, QUOTES], json: [SLASHES, QUOTES],
  python: [HASH, `${TRIPLE}|${QUOTES}`], bash: [String.raw`(?<![^\s;])#[^\n]*`, QUOTES], yaml: [String.raw`(?<!\S)#[^\n]*`, QUOTES], sql: [String.raw`--[^\n]*|\/\*(?:[^*]|\*(?!\/))*(?:\*\/)?`, QUOTES],
  html: [String.raw`<!--(?:[^-]|-(?!->))*(?:-->)?`, QUOTES],
};
const made = new Map();

function expression(language) {
  if (!made.has(language)) {
    const [comment, string] = PARTS[language];
    const word = language === "html" ? String.raw`<\/?[\w:-]+|\/?>` : WORD; // tags stand where words do
    made.set(language, new RegExp(`(${comment})|(${string})|(${NUMBER})|(${word})`, "gu"));
  }
  return made.get(language);
}

export function languageOf(name) {
  const given = String(name ?? "").toLowerCase();
  const known = Object.hasOwn(NAMES, given) ? NAMES[given] : given;
  return Object.hasOwn(PARTS, known) ? known : null;
}

/// Puts the text of a `code` element in colour, every piece of it still a text node.
export function highlight(code, name) {
  const text = code.textContent, language = languageOf(name);
  if (!language || text.length > MOST) return;
  const keywords = KEYWORDS[language], fold = language === "sql";
  const pieces = document.createDocumentFragment();
  let at = 0;
  const plain = (end) => { if (end > at) pieces.append(text.slice(at, end)); };
  for (const found of text.matchAll(expression(language))) {
    const [all, comment, string, number, word] = found;
    let kind = comment ? "comment" : string ? "string" : number ? "number" : null;
    if (word && (language === "html" || keywords.has(fold ? word.toLowerCase() : word))) kind = "keyword";
    if (string && language === "json" && /^\s*:/.test(text.slice(found.index + all.length, found.index + all.length + 20))) kind = "name";
    if (word && !kind && language === "yaml" && text[found.index + all.length] === ":") kind = "name";
    if (!kind) continue;
    plain(found.index);
    pieces.append(el(`span.tok-${kind}`, null, all));
    at = found.index + all.length;
  }
  plain(text.length);
  code.replaceChildren(pieces);
}
