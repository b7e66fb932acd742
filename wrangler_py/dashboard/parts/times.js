/** Times that go on: "12 s ago", a countdown. Each draws itself again once a second, and nothing around it. */
import { html, useCell } from "../ui.js";
import { beat, clock, now } from "../live.js";
import { clockTime, countdown, dayTime, fullTime, relative, timeMode } from "../format.js";

/** @param {{ms: number | null | undefined}} props */
export function Ago({ ms }) {
  useCell(beat);
  useCell(clock);
  useCell(timeMode);
  if (ms === null || ms === undefined) return html`<span class="soft">–</span>`;
  return html`<time class="nowrap" dateTime=${iso(ms)} title=${fullTime(ms)}>${relative(ms, now())}</time>`;
}

/** @param {{ms: number}} props */
export function Countdown({ ms }) {
  useCell(beat);
  useCell(clock);
  return html`<time class="mono" dateTime=${iso(ms)} title=${fullTime(ms)}>${countdown(ms - now())}</time>`;
}

/** A moment: its time, and the day too where `withDay`. @param {{ms: number, withDay?: boolean}} props */
export function At({ ms, withDay }) {
  const mode = useCell(timeMode);
  return html`<time class="nowrap" dateTime=${iso(ms)} title=${fullTime(ms)}>${withDay ? dayTime(ms, mode) : clockTime(ms, mode)}</time>`;
}

const iso = (/** @type {number} */ ms) => (Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : "");
