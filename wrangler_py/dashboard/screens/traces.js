/** The traces: one for each request, cron or alarm, with all that came of it. */
import { html, cls, useState } from "../ui.js";
import { get } from "../api.js";
import { usePages } from "../paging.js";
import { useKeys } from "../keys.js";
import { href, navigate, setParams } from "../router.js";
import { plural, span } from "../format.js";
import { Icon, Shape } from "../parts/icons.js";
import { Ago, At } from "../parts/times.js";
import { VList } from "../parts/vlist.js";

const ICONS = { batch: "batches", request: "request", cron: "crons", alarm: "alarms", message: "queues", api: "request" };

/** @param {{params: URLSearchParams}} props */
export default function Traces({ params }) {
  const q = params.get("q") ?? "";
  const [text, setText] = useState(q);
  const [cursor, setCursor] = useState(-1);
  const [over, setOver] = useState(false);
  const list = usePages(
    async ({ cursor: at, limit }, signal) => {
      const a = await get("traces", { q, cursor: at, limit }, signal);
      return { rows: a.traces, cursor: a.cursor, total: a.traces.length };
    },
    ["traces", q],
    { on: ["request.", "cron.finished", "batch.finished", "alarm.", "message.sent"] },
  );
  list.hold(over || cursor >= 0);
  const { rows } = list;
  const open = (t) => t && navigate(href(["trace", t.id]));
  useKeys([
    { keys: "j, ArrowDown", label: "Next row", group: "List", run: () => setCursor(Math.min(rows.length - 1, cursor + 1)) },
    { keys: "k, ArrowUp", label: "Row before", group: "List", run: () => setCursor(Math.max(0, cursor - 1)) },
    { keys: "Enter, o", label: "Open the trace", group: "List", run: () => open(rows[cursor]) },
    { keys: "n", label: "Show new rows", group: "List", run: () => (list.show(), setCursor(-1)) },
    { keys: "/", label: "Search", group: "List", run: () => /** @type {HTMLElement} */ (document.querySelector("#trace-search")).focus() },
  ]);
  return html`<div class="page fixed">
    <div class="page-head"><h1>Traces</h1>
      <div class="search slim-search"><${Icon} name="search" /><input id="trace-search" class="input" aria-label="Search traces" placeholder="POST /signup" value=${text} onInput=${(e) => (setText(e.target.value), setParams({ q: e.target.value.trim() }))} onKeyDown=${(e) => (e.key === "Escape" || e.key === "Enter") && e.target.blur()} /><kbd aria-hidden="true">/</kbd></div></div>
    ${list.error && html`<div class="note bad">${list.error.message}</div>`}
    <div class="panel fill mlist-panel">
      ${!rows.length && !list.loading ? html`<div class="empty"><strong>${q ? "No trace has such a name" : "No traces yet"}</strong><span>A trace begins with a request, a cron or an alarm, and goes on through the messages it sends.</span></div>`
        : html`<${VList} label="Traces" className="traces" count=${list.total} rowHeight=${42} keyOf=${(i) => rows[i]?.id ?? i} cursor=${cursor} resetKey=${q} onRow=${(i) => open(rows[i])} onRange=${list.want} onHover=${setOver}
            row=${(i) => rows[i] && html`<div role="gridcell" class="t-label"><${Icon} name=${ICONS[rows[i].kind] ?? "traces"} size=${14} /><a class="cut strong" href=${href(["trace", rows[i].id])} tabindex="-1">${rows[i].label}</a></div>
              <div role="gridcell" class="t-out">${rows[i].failed ? html`<span class="state s-dead"><${Shape} state="dead" />failed</span>` : html`<span class="state s-acked"><${Shape} state="acked" />ok</span>`}</div>
              <div role="gridcell" class="t-msgs soft small">${rows[i].messages ? plural(rows[i].messages, "message") : ""}</div><div role="gridcell" class="t-ms soft">${rows[i].endMs === null ? "running" : span(rows[i].endMs - rows[i].startMs)}</div><div role="gridcell" class="t-when soft small"><${At} ms=${rows[i].startMs} /> · <${Ago} ms=${rows[i].startMs} /></div>`}
            header=${html`<div role="columnheader" class="t-label">Began with</div><div role="columnheader" class="t-out">Outcome</div><div role="columnheader" class="t-msgs">Sent</div><div role="columnheader" class="t-ms">Took</div><div role="columnheader" class="t-when">When</div>`} />`}
      <button type="button" class=${cls("fresh")} hidden=${!list.fresh} onClick=${() => (list.show(), setCursor(-1))}>${plural(list.fresh, "new trace")} <kbd>n</kbd></button>
    </div>
  </div>`;
}
