/** The crons: their last sixty runs, when they fire next, what they mean, and the month ahead. */
import { html, cls, useCell, useState } from "../ui.js";
import { get } from "../api.js";
import { useQuery } from "../live.js";
import { useKeys } from "../keys.js";
import { href, navigate } from "../router.js";
import { dayTime, plural, timeMode } from "../format.js";
import { act, copyAs, whyNot } from "../actions.js";
import { Icon, Shape } from "../parts/icons.js";
import { CronStrip } from "../parts/cron_strip.js";
import { MonthCalendar } from "../parts/calendar.js";
import { openBackfill, openRun } from "../parts/cron_forms.js";
import { openMenu } from "../parts/floating.js";
import { Ago, Countdown } from "../parts/times.js";

/** @param {string} worker @param {string} cron @param {number} [run] */
export const cronHref = (worker, cron, run) => href(["cron", worker, cron], { run: run === undefined ? null : String(run) });

export default function Crons() {
  const { data, error } = useQuery((signal) => get("crons", {}, signal), [], { on: ["cron.", "worker.reloaded", "clock."], every: 15000 });
  const [cursor, setCursor] = useState(-1);
  useCell(timeMode);
  const list = data?.crons ?? [];
  const at = list[cursor];
  const off = !!whyNot();
  const toggle = () => act({ path: data.paused ? "crons/resume" : "crons/pause" }, () => (data.paused ? "Crons fire again." : "Crons are paused: their times pass by."));
  useKeys([
    { keys: "j, ArrowDown", label: "Next cron", group: "List", run: () => setCursor(Math.min(list.length - 1, cursor + 1)) },
    { keys: "k, ArrowUp", label: "Cron before", group: "List", run: () => setCursor(Math.max(0, cursor - 1)) },
    { keys: "Enter, o", label: "Open the cron", group: "List", run: () => at && navigate(cronHref(at.worker, at.cron)) },
    { keys: "r", label: "Run for a time", group: "Message", run: () => openRun(at ?? list[0]) },
    { keys: "b", label: "Backfill", group: "Message", run: () => (at ?? list[0]) && openBackfill(at ?? list[0]) },
  ]);
  return html`<div class="page">
    <div class="page-head"><h1>Crons</h1>${data?.paused && html`<span class="tag"><${Shape} state="paused" size=${10} />paused</span>`}${data && !data.on && html`<span class="tag amber">off: started with --no-cron</span>`}
      <div class="btns">${list.length > 0 && html`<button type="button" class="btn" disabled=${off} title=${whyNot()} onClick=${toggle} onContextMenu=${(e) => (e.preventDefault(), copyAs(e.currentTarget, { path: data.paused ? "crons/resume" : "crons/pause" }))}><${Icon} name=${data?.paused ? "play" : "pause"} size=${14} />${data?.paused ? "Resume all" : "Pause all"}</button>`}</div></div>
    ${error && html`<div class="note bad">${error.message}</div>`}
    ${data && !list.length && html`<div class="panel"><div class="empty"><strong>No crons</strong><span>Name one in the config, and save. Five fields, UTC; Sunday is 1.</span><pre>${'[triggers]\ncrons = ["*/5 * * * *"]'}</pre></div></div>`}
    ${list.map((c, i) => html`<article key=${c.worker + c.cron} class=${cls("panel cron-card", i === cursor && "cursor")} aria-label=${`Cron ${c.cron}`}>
      <div class="cron-main">
        <div class="row wrap"><a class="cron-expr mono" href=${cronHref(c.worker, c.cron)}>${c.cron}</a><span class="tag">${c.worker}</span>${c.source && html`<code class="src small">${c.source}</code>`}${c.missed > 0 && html`<span class="tag amber"><${Icon} name="warn" size=${12} />${plural(c.missed, "run")} missed</span>`}${c.rejected && html`<span class="tag dead"><${Shape} state="dead" size=${10} />production refuses it</span>`}</div>
        <p class="soft">${c.rejected ? (c.rejected.error ?? String(c.rejected)) : c.words}</p>
        <${CronStrip} runs=${c.strip ?? []} label=${c.cron} onRun=${(run) => navigate(cronHref(c.worker, c.cron, run))} />
        <p class="soft small">${c.strip?.length ? html`last run <${Ago} ms=${c.strip.at(-1).atMs} />${c.strip.at(-1).outcome === "ok" ? html` <span class="s-acked">ok</span>` : html` <span class="bad">${c.strip.at(-1).outcome ?? "running"}</span>`}` : "has not run yet"}</p>
      </div>
      <div class="cron-next">
        <h2 class="minor">${c.nextMs && !data.paused ? html`Next in <${Countdown} ms=${c.nextMs} />` : "Next"}</h2>
        <table class="next-five"><thead class="only-read"><tr><th>UTC</th><th>Local</th></tr></thead><tbody>${(c.next ?? []).slice(0, 5).map((t) => html`<tr key=${t}><td class="mono">${dayTime(t, "utc")}</td><td class="mono soft">${dayTime(t, "local").slice(15)} local</td></tr>`)}</tbody></table>
      </div>
      <div class="btns cron-do">
        <button type="button" class="btn small solid" disabled=${off} title=${whyNot()} onClick=${() => openRun(c)}><${Icon} name="play" size=${13} />Run…</button>
        <button type="button" class="btn small" disabled=${off} title=${whyNot()} onClick=${() => openBackfill(c)}>Backfill…</button>
        <button type="button" class="btn small quiet icon" aria-label=${`More for ${c.cron}`} aria-haspopup="menu" onClick=${(event) => {
          const anchor = event.currentTarget;
          openMenu(anchor, [{ label: "All runs", icon: "now", run: () => navigate(cronHref(c.worker, c.cron)) }, { label: "Copy the run as a command…", icon: "code", run: () => copyAs(anchor, { path: "crons/trigger", body: { cron: c.cron, worker: c.worker } }) }]);
        }}><${Icon} name="more" size=${14} /></button>
      </div>
    </article>`)}
    ${list.length > 0 && html`<${MonthCalendar} />`}
  </div>`;
}
