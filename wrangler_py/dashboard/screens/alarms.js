/** Alarms of Durable Objects that wait, and work that goes on after a response (`waitUntil`). */
import { html, cls, useCell } from "../ui.js";
import { get } from "../api.js";
import { beat, now, useQuery } from "../live.js";
import { href } from "../router.js";
import { useLimits } from "../limits.js";
import { fullTime, plural, span } from "../format.js";
import { act, copyAs, whyNot } from "../actions.js";
import { Icon, Shape } from "../parts/icons.js";
import { Ago } from "../parts/times.js";

export default function Alarms() {
  const alarms = useQuery((signal) => get("alarms", {}, signal), [], { on: ["alarm.", "clock."], every: 10000 });
  const tasks = useQuery((signal) => get("tasks", {}, signal), [], { on: ["task.", "request."], every: 5000 });
  useCell(beat);
  const allowed = (useLimits().wait_until_seconds ?? NaN) * 1000;
  const off = !!whyNot();
  const list = alarms.data?.alarms ?? [];
  const work = tasks.data?.tasks ?? [];
  const call = (verb, a) => ({ path: `alarms/${verb}`, body: { worker: a.worker, namespace: a.namespace, objectId: a.objectId } });
  const button = (verb, a, label, icon, say) =>
    html`<button type="button" class="btn small" disabled=${off} title=${whyNot() ?? "Right click: as a command"} onClick=${() => act(call(verb, a), say)} onContextMenu=${(e) => (e.preventDefault(), copyAs(e.currentTarget, call(verb, a)))}><${Icon} name=${icon} size=${13} />${label}</button>`;
  return html`<div class="page">
    <div class="page-head"><h1>Alarms & background work</h1></div>
    <section class="panel" aria-label="Alarms"><header><h2>Alarms</h2><span class="soft small">${list.length ? plural(list.length, "pending alarm") : ""}</span></header>
      ${alarms.error && html`<div class="body"><div class="note bad">${alarms.error.message}</div></div>`}
      ${list.length ? html`<table class="table"><thead><tr><th scope="col">Durable Object</th><th scope="col">Id</th><th scope="col">Due</th><th scope="col">Retries</th><th scope="col"><span class="only-read">Actions</span></th></tr></thead>
        <tbody>${list.map((a) => html`<tr key=${a.namespace + a.objectId}><th scope="row">${a.namespace}<span class="soft small"> ${a.worker}</span></th><td class="mono cut">${a.name ?? a.objectId?.slice(0, 16)}</td><td><${Ago} ms=${a.atMs} /> <span class="soft small hide-narrow">${fullTime(a.atMs)}</span></td><td>${a.retries || ""}</td>
          <td class="right"><span class="btns">${button("run", a, "Run now", "play", (r) => (r.outcome && r.outcome !== "ok" ? `The alarm failed: ${r.error ?? r.outcome}` : "The alarm ran."))}${button("cancel", a, "Cancel", "x", () => "The alarm is gone.")}</span></td></tr>`)}</tbody></table>`
        : alarms.data && html`<div class="empty"><strong>No alarm waits</strong><span>They come when a Durable Object calls <code>ctx.storage.setAlarm(...)</code>, and go by the session's clock.</span></div>`}</section>
    <section class="panel" aria-label="waitUntil"><header><h2>waitUntil</h2><span class="soft small">work that goes on after the response; production ends it after ${allowed ? span(allowed) : "a while"}</span></header>
      ${tasks.error && html`<div class="body"><div class="note bad">${tasks.error.message}</div></div>`}
      ${work.length ? html`<table class="table"><thead><tr><th scope="col">Of</th><th scope="col">State</th><th scope="col">Age${allowed ? ` of the ${span(allowed)}` : ""}</th><th scope="col">Began</th><th scope="col"><span class="only-read">Trace</span></th></tr></thead>
        <tbody>${work.map((t) => {
          const running = t.endedMs === null;
          const age = running ? now() - (t.returnedMs ?? t.startedMs) : (t.endedMs ?? 0) - (t.returnedMs ?? t.startedMs);
          const over = age > allowed || t.overMs > 0;
          return html`<tr key=${t.spanId}><th scope="row">${t.label}<span class="soft small"> ${t.worker}</span></th>
            <td><span class=${cls("state", running ? "s-in_flight" : t.outcome === "ok" || !t.outcome ? "s-acked" : "s-dead")}><${Shape} state=${running ? "in_flight" : t.outcome === "ok" || !t.outcome ? "acked" : "dead"} />${running ? "running" : (t.outcome ?? "done")}</span></td>
            <td><span class="util"><svg width="90" height="6" aria-hidden="true"><rect width="90" height="6" rx="3" fill="var(--line)" /><rect width=${Math.max(2, 90 * Math.min(1, age / (allowed || 1)))} height="6" rx="3" class=${over ? "f-dead" : "f-in_flight"} /></svg><span class=${cls("small", over ? "bad" : "soft")}>${span(age)}${over ? " · too long" : ""}</span></span></td>
            <td class="soft"><${Ago} ms=${t.startedMs} /></td><td class="right">${t.traceId && html`<a href=${href(["trace", t.traceId])}>Trace</a>`}</td></tr>`;
        })}</tbody></table>`
        : tasks.data && html`<div class="empty"><strong>No background work</strong><span>It shows here when a handler calls <code>ctx.waitUntil(...)</code>.</span></div>`}</section>
  </div>`;
}
