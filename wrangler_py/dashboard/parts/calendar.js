/** A month of crons: how often they run on each day (UTC, as Cloudflare plans them), and which fall into one minute. */
import { html, cls, useState } from "../ui.js";
import { count, dayTime, plural } from "../format.js";
import { now, useQuery } from "../live.js";
import { get } from "../api.js";
import { Icon } from "./icons.js";

const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

/** @param {string} month "2026-11" @param {number} by */
export function otherMonth(month, by) {
  const [y, m] = month.split("-").map(Number);
  const d = new Date(Date.UTC(y, m - 1 + by, 1));
  return `${d.getUTCFullYear()}-${String(d.getUTCMonth() + 1).padStart(2, "0")}`;
}

export function MonthCalendar() {
  const today = new Date(now()).toISOString().slice(0, 10);
  const [month, setMonth] = useState(today.slice(0, 7));
  const [picked, setPicked] = useState(/** @type {string | null} */ (null));
  const { data, error } = useQuery((signal) => get("crons/calendar", { month }, signal), [month], { on: ["worker.reloaded", "cron.rejected"] });
  const [y, m] = month.split("-").map(Number);
  const first = (new Date(Date.UTC(y, m - 1, 1)).getUTCDay() + 6) % 7;
  const length = new Date(Date.UTC(y, m, 0)).getUTCDate();
  const days = new Map((data?.month === month ? data.days : []).map((d) => [d.day, d]));
  const most = Math.max(1, ...[...days.values()].map((d) => d.runs));
  const collisions = data?.month === month ? (data.collisions ?? []) : [];
  const clashing = new Set(collisions.map((c) => new Date(c.atMs).toISOString().slice(0, 10)));
  const cells = [];
  for (let i = 0; i < first; i++) cells.push(html`<span class="day none" key=${"n" + i}></span>`);
  for (let d = 1; d <= length; d++) {
    const key = `${month}-${String(d).padStart(2, "0")}`;
    const runs = days.get(key)?.runs ?? 0;
    const level = runs === 0 ? 0 : 1 + Math.round(3 * Math.sqrt(runs / most));
    cells.push(html`<button type="button" key=${key} class=${cls("day", "l" + level, key === today && "today", key === picked && "picked")} aria-pressed=${String(key === picked)} onClick=${() => setPicked(key === picked ? null : key)}>
      <span>${d}<span class="only-read"> ${MONTHS[m - 1]}: </span></span><b>${runs ? (runs > 9999 ? Math.round(runs / 1000) + "k" : runs) : ""}<span class="only-read"> ${runs === 1 ? "run" : "runs"}</span></b>${clashing.has(key) && html`<i class="clash" title="Two crons in the same minute"><${Icon} name="copy" size=${11} /><span class="only-read">, some in the same minute</span></i>`}
    </button>`);
  }
  const shown = picked && days.get(picked);
  const clashes = collisions.filter((c) => !picked || new Date(c.atMs).toISOString().startsWith(picked));
  return html`<section class="panel" aria-label="Calendar of the crons">
    <header><h2>${MONTHS[m - 1]} ${y}</h2><span class="soft small">UTC</span><span class="grow"></span>
      <div class="btns">
        <button type="button" class="btn small icon" aria-label="Month before" onClick=${() => setMonth(otherMonth(month, -1))}><${Icon} name="left" /></button>
        <button type="button" class="btn small" onClick=${() => setMonth(today.slice(0, 7))}>Today</button>
        <button type="button" class="btn small icon" aria-label="Month after" onClick=${() => setMonth(otherMonth(month, 1))}><${Icon} name="rightward" /></button>
      </div>
    </header>
    <div class="body calendar">
      <div class="month">
        ${["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].map((w) => html`<span class="weekday">${w}</span>`)}
        ${cells}
      </div>
      <div class="stack calendar-side">
        ${error && html`<div class="note bad">${error.message}</div>`}
        ${shown
          ? html`<div><h3>${picked}: ${plural(shown.runs, "run")}</h3><ul class="plain">${(shown.by ?? []).map((b) => html`<li class="row"><code class="grow cut">${b.cron}</code><span class="soft">${b.worker}</span><b>${count(b.count)}</b></li>`)}</ul></div>`
          : html`<p class="soft small">Choose a day to see what runs.</p>`}
        <div><h3>${clashes.length ? `${clashes.length}${clashes.length >= 50 ? " or more" : ""} minutes with more than one cron` : "No two crons in the same minute"}</h3>
          <ul class="plain">${clashes.slice(0, 8).map((c) => html`<li class="stack2"><span class="mono small">${dayTime(c.atMs, "utc")}</span> <span class="soft small">${c.crons.map((x) => x.cron ?? x).join("  +  ")}</span></li>`)}</ul>
        </div>
      </div>
    </div>
  </section>`;
}
