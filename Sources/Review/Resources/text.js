// Times, sizes and names as people read them, in the page's language.

import { locale, t } from "./words.js";

const absolute = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minuteOf = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const hourOf = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit" });
const dayOf = new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const shortDay = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" });
const shortDate = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", year: "numeric" });
const number = new Intl.NumberFormat(locale);
const ratio = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 0 });
const decimals = [0, 1, 2].map((digits) => new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits }));

const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

/// Milliseconds since the epoch, or null where the text isn't a time.
export function instant(text) {
  if (text === null || text === undefined || text === "") return null;
  const value = new Date(text).getTime();
  return Number.isNaN(value) ? null : value;
}

export function absoluteTime(text) {
  const at = instant(text);
  return at === null ? String(text ?? "") : absolute.format(at);
}

export function clockTime(text) {
  const at = instant(text);
  return at === null ? String(text ?? "") : clock.format(at);
}

/// The same without seconds, for what is counted by the minute.
export function minuteTime(text) {
  const at = instant(text);
  return at === null ? String(text ?? "") : minuteOf.format(at);
}

/// The time of day alone, without seconds.
export function hourTime(text) {
  const at = instant(text);
  return at === null ? String(text ?? "") : hourOf.format(at);
}

export function dayName(text) {
  const at = instant(text);
  return at === null ? "" : dayOf.format(at);
}

export function relativeTime(text, now = Date.now()) {
  const at = instant(text);
  if (at === null) return String(text ?? "");
  const ago = now - at;
  if (ago < -MINUTE) return absolute.format(at); // ahead of this clock: say the time itself
  if (ago < 45 * SECOND) return t("time.now");
  if (ago < HOUR) return t("time.minutesAgo", { n: Math.max(1, Math.round(ago / MINUTE)) });
  if (ago < DAY) return t("time.hoursAgo", { n: Math.round(ago / HOUR) });
  if (ago < 7 * DAY) return t("time.daysAgo", { n: Math.round(ago / DAY) });
  return new Date(at).getFullYear() === new Date(now).getFullYear() ? shortDay.format(at) : shortDate.format(at);
}

/// The day alone, short: 21 Nov, and with its year where that isn't this one.
export function shortDayOf(text, now = Date.now()) {
  const at = instant(text);
  if (at === null) return String(text ?? "");
  return new Date(at).getFullYear() === new Date(now).getFullYear() ? shortDay.format(at) : shortDate.format(at);
}

/// 840 ms, 1.2 s, 3 min 5 s
export function duration(milliseconds) {
  if (typeof milliseconds !== "number" || !Number.isFinite(milliseconds)) return "";
  if (milliseconds < 1) return t("time.ms", { n: decimals[2].format(milliseconds) });
  if (milliseconds < SECOND) return t("time.ms", { n: Math.round(milliseconds) });
  if (milliseconds < 10 * SECOND) return t("time.s", { n: decimals[1].format(milliseconds / SECOND) });
  if (milliseconds < MINUTE) return t("time.s", { n: Math.round(milliseconds / SECOND) });
  const minutes = Math.floor(milliseconds / MINUTE), seconds = Math.round((milliseconds % MINUTE) / SECOND);
  if (minutes >= 60) return gap(milliseconds);
  return seconds ? t("time.minS", { minutes, seconds }) : t("time.min", { n: minutes });
}

/// 12 minutes, 3 hours, 2 days
export function gap(milliseconds) {
  const [size, key] = milliseconds < HOUR ? [MINUTE, "n.minutes"] : milliseconds < DAY ? [HOUR, "n.hours"] : [DAY, "n.days"];
  return t(key, { n: Math.round(milliseconds / size) });
}

export function figure(value) {
  return typeof value === "number" ? number.format(value) : String(value ?? "");
}

/// A share of one: 0.42 is 42 %.
export function share(value) {
  return typeof value === "number" && Number.isFinite(value) ? ratio.format(value) : "";
}

/// Money as a run reports it (US dollars); small sums keep their digits.
export function money(value) {
  if (typeof value !== "number" || !Number.isFinite(value)) return "";
  if (value === 0) return "$0";
  if (value < 0.0001) return `$${value.toPrecision(2)}`;
  return `$${value.toFixed(value < 0.1 ? 4 : 2)}`;
}

/// What to call a user: the name they gave, else the address, else the id.
export function userName(user) {
  if (!user) return t("user.nobody");
  const props = user.props && typeof user.props === "object" ? user.props : {};
  for (const candidate of [props.name, props.displayName, props.email, user.id]) {
    if (typeof candidate === "string" && candidate.trim() !== "") return candidate;
  }
  return t("user.nobody");
}

/// The first letters of the first two words, for the avatar.
export function initials(name) {
  const parts = name.split(/[\s@._-]+/u).filter(Boolean);
  return parts.slice(0, 2).map((part) => [...part][0].toLocaleUpperCase()).join("") || "?";
}

/// A stable hue for a name, 0-359.
export function hue(name) {
  let sum = 0;
  for (const letter of name) sum = (sum * 137 + letter.codePointAt(0) * 53) % 360; // neighbours in the alphabet land far apart
  return sum;
}
