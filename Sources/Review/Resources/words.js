// What the page says, apart from where it says it. Every visible text has a key here; English is built in.
// A further language is one file like en.js and one line in OTHERS; what it lacks is said in English.

import english from "./en.js";

const OTHERS = {}; // the name of a language, and what imports its catalog

const wanted = typeof navigator === "undefined" ? [] : navigator.languages ?? [navigator.language];
const language = wanted.map((each) => each.split("-")[0]).find((each) => each === "en" || Object.hasOwn(OTHERS, each)) ?? "en";
/// The page's language in the reader's regional form, for dates and numbers.
export const locale = wanted.find((each) => each.split("-")[0] === language) ?? language;

const spoken = new Map(); // by language: key → text, or { one, other, … } chosen by the value `n`
const plurals = new Intl.PluralRules(locale);
const numbers = new Intl.NumberFormat(locale);
const missed = new Set();

/// Adds texts; a room of the page that is loaded late brings its own.
export function register(catalog, tongue = "en") {
  const known = spoken.get(tongue) ?? new Map();
  for (const [key, text] of Object.entries(catalog)) known.set(key, text);
  spoken.set(tongue, known);
}

register(english);
if (language !== "en") {
  document.documentElement.lang = language;
  register((await OTHERS[language]()).default, language);
}

function pattern(key, values) {
  const text = spoken.get(language)?.get(key) ?? spoken.get("en").get(key);
  if (text === undefined) {
    if (!missed.has(key)) console.error(`No text for "${key}"`);
    missed.add(key);
    return key;
  }
  if (typeof text === "string") return text;
  return text[plurals.select(Number(values?.n) || 0)] ?? text.other;
}

function plain(value) {
  if (typeof value === "number") return numbers.format(value);
  return value === null || value === undefined ? "" : String(value);
}

/// The text of a key: `t("n.messages", { n: 3 })`.
export function t(key, values) {
  return pattern(key, values).replace(/\{(\w+)\}/g, (whole, name) => values && name in values ? plain(values[name]) : whole);
}

/// The same with elements among the values, as a list for `el`: `tn("key", { name: el("bdi", null, name) })`.
export function tn(key, values) {
  return pattern(key, values).split(/(\{\w+\})/).filter(Boolean).map((piece) => {
    const name = /^\{(\w+)\}$/.exec(piece)?.[1];
    const value = name && values && name in values ? values[name] : piece;
    return value instanceof Node || Array.isArray(value) ? value : plain(value);
  });
}

/// True where a text exists: for words of the wire that may have a translation and may not.
export function has(key) {
  return Boolean(spoken.get(language)?.has(key) || spoken.get("en").has(key));
}
