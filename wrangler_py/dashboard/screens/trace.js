/** One trace, from the request to the last attempt and beyond: hatched is waiting, solid is work. */
import { html, cls, useMemo, useState } from "../ui.js";
import { get } from "../api.js";
import { useQuery } from "../live.js";
import { useKeys } from "../keys.js";
import { href, navigate } from "../router.js";
import { exactTime, fullTime, plural, shortId, span } from "../format.js";
import { Shape } from "../parts/icons.js";
import { inTree, shapeOf, Waterfall } from "../parts/waterfall.js";
import { Ago } from "../parts/times.js";
import { copy } from "../actions.js";

/** @param {{parts: string[]}} props */
export default function Trace({ parts }) {
  const id = parts[1] ?? "";
  const { data: t, error } = useQuery((signal) => get("traces/" + encodeURIComponent(id), {}, signal), [id], { on: ["batch.", "message", "request.", "cron.", "task.", "worker.printed"] });
  const [picked, setPicked] = useState(/** @type {string | null} */ (null));
  const order = useMemo(() => inTree(t?.spans ?? []).map((x) => x.span), [t]);
  const at = order.findIndex((s) => s.id === picked);
  const one = order[at] ?? order.find((s) => s.status === "error") ?? order[0];
  useKeys([
    { keys: "j, ArrowDown", label: "Next span", group: "List", run: () => order.length && setPicked(order[Math.min(order.length - 1, at + 1)].id) },
    { keys: "k, ArrowUp", label: "Span before", group: "List", run: () => order.length && setPicked(order[Math.max(0, at - 1)].id) },
    { keys: "u, Escape", label: "Back", group: "List", run: () => (history.length > 1 ? history.back() : navigate(href(["traces"]))) },
  ]);
  if (!t) return html`<div class="page">${error && html`<div class="empty"><strong>${error.message}</strong><a href=${href(["traces"])}>All traces</a></div>`}</div>`;
  const failed = t.spans.filter((s) => s.status === "error").length;
  const end = t.endMs ?? t.startMs; // of what still runs, the waterfall takes the latest that is known
  return html`<div class="page">
    <div class="page-head"><h1><a class="crumbs" href=${href(["traces"])}>Traces</a> <span class="crumbs">/</span> ${t.label}</h1>${failed ? html`<span class="state s-dead"><${Shape} state="dead" />${plural(failed, "failed span")}</span>` : ""}
      <span class="soft small">${t.endMs === null ? "running" : span(t.endMs - t.startMs)} · <${Ago} ms=${t.startMs} /> · <button type="button" class="link mono" title="Copy" onClick=${() => copy(id, "the id of the trace")}>${id.slice(0, 12)}</button></span></div>
    <div class="panel"><${Waterfall} spans=${t.spans} startMs=${t.startMs} endMs=${end} picked=${one?.id ?? null} onPick=${setPicked} /></div>
    ${one && html`<${SpanDetail} s=${one} />`}
  </div>`;
}

/** @param {{s: import("../parts/waterfall.js").Span}} props */
function SpanDetail({ s }) {
  const d = s.detail ?? {};
  const messages = [d.id, ...(d.messages ?? [])].filter((x) => typeof x === "string");
  const known = new Set(["id", "messages", "error", "traceback", "batch"]);
  return html`<section class="panel" aria-label="The span">
    <header><${Shape} state=${shapeOf(s)} /><h2>${s.name}</h2><span class="tag">${s.waiting ? "waiting" : s.kind}</span></header>
    <div class="body stack"><dl class="facts">
      <dt>From</dt><dd>${fullTime(s.startMs)}</dd><dt>To</dt><dd>${s.endMs === null ? "still running" : html`${fullTime(s.endMs)} <span class="soft">${span(s.endMs - s.startMs)}</span>`}</dd>
      ${messages.length > 0 && html`<dt>${messages.length > 1 ? "Messages" : "Message"}</dt><dd class="row wrap">${messages.slice(0, 20).map((m) => html`<a class="tag mono" href=${href(["message", m])}>${shortId(m)}</a>`)}</dd>`}
      ${d.batch && html`<dt>Batch</dt><dd><a href=${href(["batch", String(d.batch)])}>${String(d.batch).slice(0, 8)}</a></dd>`}
      ${Object.entries(d).filter(([k, v]) => !known.has(k) && v !== null && v !== undefined && v !== "").map(([k, v]) => html`<dt>${k}</dt><dd class=${cls(k === "where" && "mono")}>${typeof v === "object" ? JSON.stringify(v) : String(v)}</dd>`)}
    </dl>
    ${(d.traceback || d.error) && html`<pre class="block wrap trace" tabindex="0">${d.traceback ?? d.error}</pre>`}
    ${s.logs?.length ? html`<ol class="loglines" tabindex="0" aria-label="Logs of the span">${s.logs.map((l) => html`<li class=${"l-" + l.level}><span class="soft mono">${exactTime(l.atMs)}</span><span class="mono">${l.text}</span></li>`)}</ol>` : ""}</div>
  </section>`;
}
