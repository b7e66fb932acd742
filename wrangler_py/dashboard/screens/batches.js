/** Batches: how large, how long they waited and worked, and what became of each of their messages. */
import { html, cls, useCell, useState } from "../ui.js";
import { get } from "../api.js";
import { overview, useQuery } from "../live.js";
import { usePages } from "../paging.js";
import { useKeys } from "../keys.js";
import { href, navigate, setParams } from "../router.js";
import { exactTime, plural, shortId, span } from "../format.js";
import { Icon, Shape } from "../parts/icons.js";
import { Ago, At } from "../parts/times.js";
import { VList } from "../parts/vlist.js";

const SQUARES = 20;
const SHAPES = { ack: "acked", retry: "retrying", dead_letter: "dead", drop: "dead", release: "other" };

/** @param {{parts: string[], params: URLSearchParams}} props */
export default function Batches({ parts, params }) {
  return parts[0] === "batch" && parts[1] ? html`<${Batch} id=${parts[1]} />` : html`<${List} queue=${params.get("queue") ?? ""} outcome=${params.get("outcome") ?? ""} />`;
}

/** @param {{queue: string, outcome: string}} props */
function List({ queue, outcome }) {
  const o = useCell(overview);
  const [cursor, setCursor] = useState(-1);
  const [over, setOver] = useState(false);
  const list = usePages(
    async ({ cursor: at, limit }, signal) => {
      const a = await get("batches", { queue, outcome, cursor: at, limit }, signal);
      return { rows: a.batches, cursor: a.cursor, total: a.batches.length };
    },
    ["batches", queue, outcome],
    { on: ["batch."], ...(queue && { queue }) },
  );
  list.hold(over || cursor >= 0);
  const { rows } = list;
  const open = (b) => b && navigate(href(["batch", String(b.id)]));
  useKeys([
    { keys: "j, ArrowDown", label: "Next row", group: "List", run: () => setCursor(Math.min(rows.length - 1, cursor + 1)) },
    { keys: "k, ArrowUp", label: "Row before", group: "List", run: () => setCursor(Math.max(0, cursor - 1)) },
    { keys: "Enter, o", label: "Open the batch", group: "List", run: () => open(rows[cursor]) },
    { keys: "n", label: "Show new rows", group: "List", run: () => (list.show(), setCursor(-1)) },
  ]);
  const longest = Math.max(1, ...rows.slice(0, 200).map((b) => (b.waitMs ?? 0) + (b.ms ?? 0)));
  return html`<div class="page fixed">
    <div class="page-head"><h1>Batches</h1><span class="grow"></span>
      <label class="row small"><span class="soft">Queue</span><input class="input auto" list="batch-queues" placeholder="all" value=${queue} onChange=${(e) => setParams({ queue: e.target.value.trim() })} /><datalist id="batch-queues">${(o?.queues ?? []).map((q) => html`<option key=${q.name} value=${q.name} />`)}</datalist></label>
      <label class="row small"><span class="soft">Outcome</span><select class="input auto" value=${outcome} onChange=${(e) => setParams({ outcome: e.target.value })}><option value="">all</option>${["ok", "exception"].map((x) => html`<option value=${x}>${x}</option>`)}</select></label>
    </div>
    ${list.error && html`<div class="note bad">${list.error.message}</div>`}
    <div class="panel fill mlist-panel">
      ${!rows.length && !list.loading ? html`<div class="empty"><strong>No batches yet</strong><span>A batch leaves when it is full, or when its first message has waited for <code>max_batch_timeout</code>.</span></div>`
        : html`<${VList} label="Batches" className="batches" count=${list.total} rowHeight=${46} keyOf=${(i) => rows[i]?.id ?? i} cursor=${cursor} resetKey=${queue + outcome} onRow=${(i) => open(rows[i])} onRange=${list.want} onHover=${setOver}
            row=${(i) => rows[i] && html`<${Row} b=${rows[i]} longest=${longest} />`}
            header=${html`<div role="columnheader" class="b-when">Started</div><div role="columnheader" class="b-queue">Queue</div><div role="columnheader" class="b-size">Messages</div><div role="columnheader" class="b-time">Waited, worked</div><div role="columnheader" class="b-out">Outcome</div>`} />`}
      <button type="button" class="fresh" hidden=${!list.fresh} onClick=${() => (list.show(), setCursor(-1))}>${plural(list.fresh, "new batch", "new batches")} <kbd>n</kbd></button>
    </div>
  </div>`;
}

/** @param {{b: any, longest: number}} props */
function Row({ b, longest }) {
  const rest = b.messages.length - SQUARES;
  const scale = (ms) => Math.max(ms ? 2 : 0, 120 * Math.sqrt((ms ?? 0) / longest));
  const wait = scale(b.waitMs);
  const ok = b.outcome === "ok";
  return html`
    <div role="gridcell" class="b-when"><a href=${href(["batch", String(b.id)])} tabindex="-1"><${At} ms=${b.startedMs} /></a> <span class="soft small"><${Ago} ms=${b.startedMs} /></span></div>
    <div role="gridcell" class="b-queue"><a class="tag" href=${href(["queue", b.queue])} tabindex="-1"><span class="cut">${b.queue}</span></a></div>
    <div role="gridcell" class="b-size"><b>${b.messages.length}</b><span class="squares" role="img" aria-label=${summary(b)} title=${summary(b)}>${b.messages.slice(0, SQUARES).map((m) => html`<${Shape} state=${SHAPES[m.action] ?? "in_flight"} size=${11} />`)}${rest > 0 && html`<span class="soft small">+${rest}</span>`}</span></div>
    <div role="gridcell" class="b-time"><svg width="130" height="12" role="img" aria-label=${`waited ${span(b.waitMs ?? 0)}, worked ${b.ms === null ? "until now" : span(b.ms)}`}><rect y="2" width=${wait} height="8" class="wait-bar" /><rect x=${wait + 1} y="1" width=${Math.max(3, Math.min(128 - wait, scale(b.ms)))} height="10" rx="2" class=${ok ? "f-acked" : b.outcome === null ? "f-in_flight" : "f-dead"} /></svg><span class="small soft">${span(b.waitMs ?? 0)} + ${b.ms === null ? "…" : span(b.ms)}</span></div>
    <div role="gridcell" class="b-out"><${Outcome} b=${b} />${b.error && html`<span class="bad small cut">${b.error.split("\n").at(-1) || b.error}</span>`}</div>`;
}

/** @param {any} b */
function summary(b) {
  const n = {};
  for (const m of b.messages) n[m.action ?? "running"] = (n[m.action ?? "running"] ?? 0) + 1;
  return Object.entries(n).map(([k, v]) => `${v} ${{ ack: "acked", retry: "retried", dead_letter: "dead-lettered", drop: "dropped", release: "given back" }[k] ?? k}`).join(", ");
}

/** @param {{b: any}} props */
const Outcome = ({ b }) => html`<span class=${cls("state", b.outcome === null ? "s-in_flight" : b.outcome === "ok" ? "s-acked" : "s-dead")}><${Shape} state=${b.outcome === null ? "in_flight" : b.outcome === "ok" ? "acked" : "dead"} />${b.outcome ?? "running"}</span>`;

/** @param {{id: string}} props */
function Batch({ id }) {
  const { data: b, error } = useQuery((signal) => get("batches/" + id, {}, signal), [id], { on: ["batch.", "worker.printed"] });
  useKeys([{ keys: "u, Escape", label: "Back", group: "List", run: () => (history.length > 1 ? history.back() : navigate(href(["batches"]))) }]);
  if (!b) return html`<div class="page">${error && html`<div class="empty"><strong>${error.message}</strong><a href=${href(["batches"])}>All batches</a></div>`}</div>`;
  return html`<div class="page">
    <div class="page-head"><h1><a class="crumbs" href=${href(["batches"])}>Batches</a> <span class="crumbs">/</span> <span class="mono">${String(b.id).slice(0, 8)}</span></h1><${Outcome} b=${b} /><a class="tag" href=${href(["queue", b.queue])}>${b.queue}</a>
      <div class="btns">${(b.traceIds ?? []).slice(0, 3).map((t) => html`<a class="btn small" href=${href(["trace", t])}><${Icon} name="traces" size=${14} />Trace ${t.slice(0, 6)}</a>`)}</div></div>
    <div class="panel"><div class="body"><dl class="facts"><dt>Started</dt><dd>${exactTime(b.startedMs)} <span class="soft"><${Ago} ms=${b.startedMs} /></span></dd><dt>Worker</dt><dd>${b.worker}</dd><dt>Waited</dt><dd>${span(b.waitMs ?? 0)} <span class="soft">since its first message was ready</span></dd><dt>Worked</dt><dd>${b.ms === null ? "still running" : span(b.ms)}</dd></dl></div></div>
    ${(b.traceback || b.error) && html`<div class="panel"><header><h2 class="bad">What the handler raised</h2></header><div class="body"><pre class="block wrap trace" tabindex="0">${b.traceback ?? b.error}</pre></div></div>`}
    <div class="panel"><header><h2>${plural(b.messages.length, "message")}</h2></header>
      <table class="table"><thead><tr><th scope="col">Message</th><th scope="col">Attempt</th><th scope="col">What became of it</th><th scope="col">Why</th></tr></thead><tbody>
        ${b.messages.map((m) => html`<tr key=${m.id}><td><a class="mono" href=${href(["message", m.id])}>${shortId(m.id)}</a></td><td>${m.attempt}</td><td><span class=${"state s-" + (SHAPES[m.action] ?? "in_flight")}><${Shape} state=${SHAPES[m.action] ?? "in_flight"} />${m.action?.replace("_", " ") ?? "running"}${m.delaySeconds ? html`<span class="soft">in ${m.delaySeconds} s</span>` : ""}</span></td><td class="soft">${m.reason ?? ""} ${m.where && html`<code class="src">${m.where}</code>`}</td></tr>`)}
      </tbody></table></div>
    ${b.logs?.length > 0 && html`<div class="panel"><header><h2>Logs</h2></header><div class="body"><ol class="loglines" tabindex="0" aria-label="Logs of the batch">${b.logs.map((l) => html`<li class=${"l-" + l.level}><span class="soft mono">${exactTime(l.atMs)}</span><span class="mono">${l.text}</span></li>`)}</ol></div></div>`}
  </div>`;
}
