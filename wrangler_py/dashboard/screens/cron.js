/** One cron: every run that is known of it, how long each took, what it printed. */
import { html, cls, useEffect, useState } from "../ui.js";
import { get } from "../api.js";
import { useQuery } from "../live.js";
import { usePages } from "../paging.js";
import { useKeys } from "../keys.js";
import { href, navigate } from "../router.js";
import { exactTime, fullTime, plural, span } from "../format.js";
import { whyNot } from "../actions.js";
import { Icon, Shape } from "../parts/icons.js";
import { CronStrip } from "../parts/cron_strip.js";
import { openBackfill, openRun } from "../parts/cron_forms.js";
import { Ago, Countdown } from "../parts/times.js";
import { VList } from "../parts/vlist.js";

/** @param {{parts: string[], params: URLSearchParams}} props */
export default function Cron({ parts, params }) {
  const [, worker = "", cron = ""] = parts;
  const { data } = useQuery((signal) => get("crons", {}, signal), [], { on: ["cron.", "worker.reloaded"] });
  const c = data?.crons.find((x) => x.cron === cron && x.worker === worker);
  const list = usePages(
    async ({ cursor, limit }, signal) => {
      const a = await get("crons/runs", { cron, worker, cursor, limit }, signal);
      return { rows: a.runs.map((r) => ({ ...r, id: String(r.run) })), cursor: a.cursor, total: a.runs.length };
    },
    ["runs", worker, cron],
    { on: ["cron."] },
  );
  const { rows } = list;
  const [at, setAt] = useState(-1);
  const wanted = params.get("run");
  useEffect(() => {
    const i = rows.findIndex((r) => r.id === wanted);
    if (i >= 0) setAt(i);
  }, [wanted, rows.length > 0]);
  const run = rows[Math.max(0, at)];
  useKeys([
    { keys: "j, ArrowDown", label: "Next run", group: "List", run: () => setAt(Math.min(rows.length - 1, Math.max(0, at) + 1)) },
    { keys: "k, ArrowUp", label: "Run before", group: "List", run: () => setAt(Math.max(0, at - 1)) },
    { keys: "r", label: "Run for a time", group: "Message", run: () => c && openRun(c) },
    { keys: "b", label: "Backfill", group: "Message", run: () => c && openBackfill(c) },
    { keys: "u, Escape", label: "Back", group: "List", run: () => navigate(href(["crons"])) },
  ]);
  return html`<div class="page fixed">
    <div class="page-head"><h1><a class="crumbs" href=${href(["crons"])}>Crons</a> <span class="crumbs">/</span> <span class="mono">${cron}</span></h1><span class="tag">${worker}</span>
      <div class="btns"><button type="button" class="btn solid" disabled=${!c || !!whyNot()} title=${whyNot()} onClick=${() => openRun(c)}><${Icon} name="play" size=${13} />Run… <kbd>r</kbd></button><button type="button" class="btn" disabled=${!c || !!whyNot()} onClick=${() => openBackfill(c)}>Backfill…</button></div></div>
    ${c && html`<div class="panel cron-card one"><div class="cron-main"><p>${c.words}</p><${CronStrip} runs=${c.strip ?? []} label=${cron} onRun=${(n) => setAt(rows.findIndex((r) => r.run === n))} /></div><div class="cron-next"><h2 class="minor">${c.nextMs ? html`Next in <${Countdown} ms=${c.nextMs} />` : "Next"}</h2><span class="mono small">${c.nextMs ? fullTime(c.nextMs) : "never"}</span></div></div>`}
    ${list.error && html`<div class="note bad">${list.error.message}</div>`}
    <div class=${cls("fill", rows.length > 0 && "split")}>
      <div class="panel mlist-panel">${!rows.length && !list.loading ? html`<div class="empty"><strong>Has not run yet</strong><span>It fires by itself; or run it now, for a time of your choice.</span>${c && html`<button type="button" class="btn solid" disabled=${!!whyNot()} onClick=${() => openRun(c)}>Run…</button>`}</div>`
        : html`<${VList} label="Runs" className="runs" count=${list.total} rowHeight=${42} keyOf=${(i) => rows[i]?.id ?? i} cursor=${Math.max(0, at)} onRow=${(i) => setAt(i)} onRange=${list.want}
            row=${(i) => rows[i] && html`<div role="gridcell" class="r-out"><span class=${cls("state", tone(rows[i]))}><${Shape} state=${shape(rows[i])} />${rows[i].outcome ?? "running"}</span></div><div role="gridcell" class="r-when">${fullTime(rows[i].scheduledMs).slice(0, 19)}</div><div role="gridcell" class="r-ms soft">${rows[i].ms === null ? "…" : span(rows[i].ms)}</div><div role="gridcell" class="r-trig soft small">${rows[i].trigger}</div>`}
            header=${html`<div role="columnheader" class="r-out">Outcome</div><div role="columnheader" class="r-when">Scheduled for</div><div role="columnheader" class="r-ms">Took</div><div role="columnheader" class="r-trig">By</div>`} />`}</div>
      <section class="panel run-detail" aria-label="The run" hidden=${!rows.length}>${run ? html`<header><h2>${fullTime(run.scheduledMs)}</h2><span class="grow"></span>${run.traceId && html`<a class="small" href=${href(["trace", run.traceId])}>Trace</a>`}</header>
        <div class="body stack"><dl class="facts"><dt>Outcome</dt><dd><span class=${cls("state", tone(run))}><${Shape} state=${shape(run)} />${run.outcome ?? "running"}</span></dd><dt>Began</dt><dd>${fullTime(run.startedMs)} <span class="soft">${run.startedMs - run.scheduledMs > 1000 ? html`${span(run.startedMs - run.scheduledMs)} after its time` : html`<${Ago} ms=${run.startedMs} />`}</span></dd><dt>Took</dt><dd>${run.ms === null ? "still running" : span(run.ms)}</dd><dt>Started by</dt><dd>${run.trigger}</dd></dl>
          ${run.error && html`<pre class="block wrap trace" tabindex="0">${run.error}</pre>`}
          ${run.logs?.length ? html`<div><h3>Logs</h3><ol class="loglines" tabindex="0" aria-label="Logs of the run">${run.logs.map((l) => html`<li class=${"l-" + l.level}>${l.atMs ? html`<span class="soft mono">${exactTime(l.atMs)}</span>` : ""}<span class="mono">${l.text}</span></li>`)}</ol></div>` : html`<p class="soft small">It printed nothing.</p>`}</div>` : html`<div class="empty">${plural(rows.length, "run")}</div>`}</section>
    </div>
  </div>`;
}

/** @param {any} r */
const shape = (r) => (r.outcome === "ok" ? "acked" : r.outcome ? "dead" : "in_flight");
/** @param {any} r */
const tone = (r) => "s-" + shape(r);
