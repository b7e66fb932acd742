/** Times, spans, sizes and counts as people read them. All times are milliseconds since 1970, by the session's clock. */
import { cell } from "./ui.js";

/** How times are shown: "utc" or "local". */
export const timeMode = cell(localStorage.getItem("wpy.time") === "local" ? "local" : "utc");
timeMode.watch(() => localStorage.setItem("wpy.time", timeMode.get()));

const two = (/** @type {number} */ n) => String(n).padStart(2, "0");

/** @param {number} ms @param {string} [mode] */
function fields(ms, mode = timeMode.get()) {
  const d = new Date(ms);
  return mode === "utc"
    ? { y: d.getUTCFullYear(), mo: d.getUTCMonth() + 1, d: d.getUTCDate(), h: d.getUTCHours(), mi: d.getUTCMinutes(), s: d.getUTCSeconds(), w: d.getUTCDay() }
    : { y: d.getFullYear(), mo: d.getMonth() + 1, d: d.getDate(), h: d.getHours(), mi: d.getMinutes(), s: d.getSeconds(), w: d.getDay() };
}

/** @param {number} ms */
const valid = (ms) => typeof ms === "number" && Number.isFinite(ms) && Math.abs(ms) <= 8.64e15;

/** 10:14:03 @param {number} ms @param {string} [mode] */
export function clockTime(ms, mode) {
  if (!valid(ms)) return "–";
  const f = fields(ms, mode);
  return `${two(f.h)}:${two(f.mi)}:${two(f.s)}`;
}

/** 10:14:03.120 @param {number} ms */
export function exactTime(ms) {
  return valid(ms) ? `${clockTime(ms)}.${String(((ms % 1000) + 1000) % 1000 | 0).padStart(3, "0")}` : "–";
}

/** 2026-09-20 @param {number} ms @param {string} [mode] */
export function day(ms, mode) {
  if (!valid(ms)) return "–";
  const f = fields(ms, mode);
  return `${f.y}-${two(f.mo)}-${two(f.d)}`;
}

const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/** Sun 2026-09-20 10:14 @param {number} ms @param {string} [mode] */
export function dayTime(ms, mode) {
  if (!valid(ms)) return "–";
  return `${WEEKDAYS[fields(ms, mode).w]} ${day(ms, mode)} ${clockTime(ms, mode).slice(0, 5)}`;
}

/** 2026-09-20 10:14:03.120 UTC @param {number} ms */
export function fullTime(ms) {
  if (!valid(ms)) return "–";
  return `${day(ms)} ${exactTime(ms)} ${timeMode.get() === "utc" ? "UTC" : "local"}`;
}

/** A span in at most two units: 4 ms, 1.2 s, 3 min 20 s, 2 h 5 min, 3 d 4 h. @param {number} ms */
export function span(ms) {
  if (!Number.isFinite(ms)) return "–";
  const sign = ms < 0 ? "-" : "";
  ms = Math.abs(ms);
  if (ms < 1) return sign + (ms === 0 ? "0 ms" : "<1 ms");
  if (ms < 1000) return `${sign}${Math.round(ms)} ms`;
  if (ms < 9950) return `${sign}${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${sign}${seconds} s`;
  const parts = [["d", Math.floor(seconds / 86400)], ["h", Math.floor(seconds / 3600) % 24], ["min", Math.floor(seconds / 60) % 60], ["s", seconds % 60]];
  const first = parts.findIndex(([, n]) => n);
  return sign + parts.slice(first, first + 2).filter(([, n]) => n).map(([unit, n]) => `${n} ${unit}`).join(" ");
}

/** A whole-second span for countdowns: 00:41, 1:02:03, 3 d 04:05. @param {number} ms */
export function countdown(ms) {
  const s = Math.max(0, Math.ceil(ms / 1000));
  const [d, h, m, r] = [Math.floor(s / 86400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60, s % 60];
  if (d) return `${d} d ${two(h)}:${two(m)}`;
  return h ? `${h}:${two(m)}:${two(r)}` : `${two(m)}:${two(r)}`;
}

/** "12 s ago", "in 3 min". @param {number} ms @param {number} now */
export function relative(ms, now) {
  const ago = now - ms;
  if (Math.abs(ago) < 1000) return "now";
  const size = Math.abs(ago);
  const rough = size < 60e3 ? `${Math.floor(size / 1000)} s` : size < 3600e3 ? `${Math.floor(size / 60e3)} min` : size < 86400e3 ? `${Math.floor(size / 3600e3)} h` : `${Math.floor(size / 86400e3)} d`;
  return ago > 0 ? `${rough} ago` : `in ${rough}`;
}

const NUMBERS = new Intl.NumberFormat("en-US"); // made once: toLocaleString makes one for each call, which lists feel

/** 1,234 @param {number} n */
export const count = (n) => NUMBERS.format(n ?? 0);

/** 1,234 up to five digits, then 12.3k, 4.5M. @param {number} n */
export function short(n) {
  n ??= 0;
  if (n < 10000) return count(n);
  if (n < 999500) return `${n < 99950 ? (n / 1000).toFixed(1) : Math.round(n / 1000)}k`;
  return `${(n / 1e6).toFixed(n < 99.95e6 ? 1 : 0)}M`;
}

/** A number in four characters. @param {number} n */
export const shortest = (n) => (n < 1000 ? String(n) : n < 9950 ? `${(n / 1000).toFixed(1)}k` : n < 999500 ? `${Math.round(n / 1000)}k` : `${(n / 1e6).toFixed(n < 9.95e6 ? 1 : 0)}M`);

/** @param {number} n */
export const bytes = (n) => (n < 1000 ? `${n} B` : n < 1e6 ? `${(n / 1000).toFixed(n < 10000 ? 1 : 0)} kB` : `${(n / 1e6).toFixed(1)} MB`);

/** @param {number} n @param {string} one @param {string} [many] */
export const plural = (n, one, many = one + "s") => `${count(n)} ${n === 1 ? one : many}`;

/** A text of several lines in one: of a traceback what was raised, else the lines behind one another. @param {string} text */
export function oneLine(text) {
  const trimmed = String(text ?? "").trimEnd();
  const lines = trimmed.split("\n");
  return /^Traceback \(most recent call last\)/.test(trimmed) ? `${lines.at(-1)}  (traceback)` : lines.join(" ⏎ ");
}

/** The first eight characters of an id. @param {string} id */
export const shortId = (id) => (id ?? "").slice(0, 8);
