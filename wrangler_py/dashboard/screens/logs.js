/** What Workers print, newest first. */
import { html, cls, useCell, useState } from "../ui.js";
import { get } from "../api.js";
import { overview } from "../live.js";
import { usePages } from "../paging.js";
import { useKeys } from "../keys.js";
import { href, setParams } from "../router.js";
import { exactTime, fullTime, oneLine, plural } from "../format.js";
import { Icon } from "../parts/icons.js";
import { Dialog, openDialog } from "../parts/floating.js";
import { VList } from "../parts/vlist.js";

/** @param {{params: URLSearchParams}} props */
export default function Logs({ params }) {
  const q = params.get("q") ?? "";
  const level = params.get("level") ?? "";
  const worker = params.get("worker") ?? "";
  const o = useCell(overview);
  const [text, setText] = useState(q);
  const [over, setOver] = useState(false);
  const list = usePages(
    async ({ cursor, limit }, signal) => {
      const a = await get("logs", { q, level, worker, cursor, limit }, signal);
      return { rows: a.logs.map((l) => ({ ...l, id: String(l.seq) })), cursor: a.cursor, total: a.logs.length };
    },
    ["logs", q, level, worker],
    { on: ["worker.printed"] },
  );
  list.hold(over);
  const { rows } = list;
  useKeys([
    { keys: "/", label: "Search", group: "List", run: () => /** @type {HTMLElement} */ (document.querySelector("#log-search")).focus() },
    { keys: "n", label: "Show new lines", group: "List", run: list.show },
  ]);
  return html`<div class="page fixed">
    <div class="page-head"><h1>Logs</h1>
      <div class="search slim-search"><${Icon} name="search" /><input id="log-search" class="input" aria-label="Search logs" placeholder="Text" value=${text} onInput=${(e) => (setText(e.target.value), setParams({ q: e.target.value.trim() }))} onKeyDown=${(e) => (e.key === "Escape" || e.key === "Enter") && e.target.blur()} /><kbd aria-hidden="true">/</kbd></div>
      <select class="input auto" aria-label="Level" value=${level} onChange=${(e) => setParams({ level: e.target.value })}>${[["", "all levels"], ["error", "errors"], ["warn", "warnings"], ["log", "log"], ["debug", "debug"]].map(([v, l]) => html`<option value=${v}>${l}</option>`)}</select>
      ${(o?.workers ?? []).length > 1 && html`<select class="input auto" aria-label="Worker" value=${worker} onChange=${(e) => setParams({ worker: e.target.value })}><option value="">all workers</option>${o.workers.map((w) => html`<option value=${w.name}>${w.name}</option>`)}</select>`}</div>
    ${list.error && html`<div class="note bad">${list.error.message}</div>`}
    <div class="panel fill mlist-panel">
      ${!rows.length && !list.loading ? html`<div class="empty"><strong>${q || level || worker ? "No line fits" : "Nothing was printed yet"}</strong><span>What a Worker prints, and what it logs with <code>logging</code> or <code>console</code>, comes here.</span></div>`
        : html`<${VList} label="Logs" className="logs" count=${list.total} rowHeight=${28} keyOf=${(i) => rows[i]?.id ?? i} resetKey=${q + level + worker} onRow=${(i) => rows[i] && openDialog(({ close }) => html`<${Line} line=${rows[i]} close=${close} />`)} onRange=${list.want} onHover=${setOver} rowClass=${(i) => cls(rows[i] && "l-" + rows[i].level)}
            row=${(i) => rows[i] && html`<div role="gridcell" class="l-when mono soft">${exactTime(rows[i].atMs)}</div><div role="gridcell" class="l-label soft small cut">${rows[i].traceId ? html`<a href=${href(["trace", rows[i].traceId])} tabindex="-1">${rows[i].label || rows[i].worker}</a>` : rows[i].label || rows[i].worker}</div><div role="gridcell" class="l-text mono cut" title=${rows[i].text}>${oneLine(rows[i].text)}</div>`} />`}
      <button type="button" class="fresh" hidden=${!list.fresh} onClick=${list.show}>${plural(list.fresh, "new line")} <kbd>n</kbd></button>
    </div>
  </div>`;
}

/** A line in full. @param {{line: any, close: () => void}} props */
function Line({ line, close }) {
  return html`<${Dialog} title=${line.label || line.worker} wide close=${close} footer=${html`${line.traceId && html`<a class="btn" href=${href(["trace", line.traceId])} onClick=${close}>Trace</a>`}<button type="submit" class="btn solid" onClick=${close}>Close</button>`}>
    <p class="soft small">${fullTime(line.atMs)} · ${line.level} · worker ${line.worker}</p>
    <pre class=${cls("block wrap", line.level === "error" && "trace")} tabindex="0">${line.text}</pre>
  </${Dialog}>`;
}
