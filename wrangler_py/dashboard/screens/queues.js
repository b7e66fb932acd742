/** The queues: who sends, who consumes, where the dead go; how busy, how far behind. */
import { html, cls, useState } from "../ui.js";
import { get } from "../api.js";
import { usePages } from "../paging.js";
import { useKeys } from "../keys.js";
import { href, navigate } from "../router.js";
import { count, plural, short } from "../format.js";
import { copyAs, setPaused, whyNot } from "../actions.js";
import { Icon, Shape, STATE_WORDS } from "../parts/icons.js";
import { openMenu } from "../parts/floating.js";
import { Spark } from "../parts/charts.js";
import { Ago } from "../parts/times.js";
import { VList } from "../parts/vlist.js";
import { openSend } from "../parts/send_form.js";

const COUNTS = [["ready", "ready"], ["delayed", "delayed"], ["in_flight", "inFlight"], ["retrying", "retrying"], ["dead", "dead"]];

const FRESH = { on: ["message", "batch.", "queue.", "consumer.", "worker.reloaded", "clock."], every: 10000 };

export default function Queues() {
  const [text, setText] = useState("");
  const [cursor, setCursor] = useState(-1);
  const [over, setOver] = useState(false);
  const q = text.trim();
  const list = usePages(
    async ({ cursor: at, limit }, signal) => {
      const a = await get("queues", { q, cursor: at, limit }, signal);
      return { rows: a.queues.map((one) => ({ ...one, id: one.name })), cursor: a.cursor, total: a.total };
    },
    ["queues", q],
    FRESH,
  );
  list.hold(over || cursor >= 0);
  const { rows: shown, total } = list;
  const current = shown[cursor];
  const open = (q) => q && navigate(href(["queue", q.name]));
  useKeys([
    { keys: "j, ArrowDown", label: "Next queue", group: "List", run: () => setCursor(Math.min(shown.length - 1, cursor + 1)) },
    { keys: "k, ArrowUp", label: "Queue before", group: "List", run: () => setCursor(Math.max(0, cursor - 1)) },
    { keys: "Enter, o", label: "Open the queue", group: "List", run: () => open(current) },
    { keys: "n", label: "Show new queues", group: "List", run: () => (list.show(), setCursor(-1)) },
    { keys: "s", label: "Send to the queue", group: "List", run: () => current && openSend(current.name) },
    { keys: "/", label: "Search", group: "List", run: () => /** @type {HTMLElement} */ (document.querySelector("#queue-search")).focus() },
  ]);
  return html`<div class="page fixed">
    <div class="page-head"><h1>Queues</h1>
      <div class="search slim-search"><${Icon} name="search" /><input id="queue-search" class="input" aria-label="Search queues by name" placeholder="Name" value=${text} onInput=${(e) => (setText(e.target.value), setCursor(-1))}
        onKeyDown=${(e) => (e.key === "Escape" || e.key === "Enter") && (e.key === "Escape" && setText(""), e.target.blur(), e.key === "Enter" && setCursor(0))} /><kbd aria-hidden="true">/</kbd></div><span class="soft">${list.loading ? "" : plural(total, "queue")}</span>
    </div>
    ${list.error && html`<div class="note bad">${list.error.message}</div>`}
    <div class="panel fill mlist-panel">
      ${!list.loading && !list.error && !shown.length
        ? q ? html`<div class="empty"><strong>No queue has such a name</strong></div>` : html`<div class="empty"><strong>There is no queue yet</strong><span>Bind one in the config, and save:</span><pre>${'[[queues.producers]]\nbinding = "JOBS"\nqueue = "jobs"\n\n[[queues.consumers]]\nqueue = "jobs"'}</pre></div>`
        : html`<${VList} label="Queues" className="queues" count=${total} rowHeight=${68} keyOf=${(i) => shown[i]?.name ?? i} cursor=${cursor} resetKey=${q} onRow=${(i) => open(shown[i])} onRange=${list.want} onHover=${setOver} row=${(i) => shown[i] && html`<${QueueRow} q=${shown[i]} />`}
            header=${html`<div role="columnheader" class="q-name">Queue</div><div role="columnheader" class="q-flow">Producers ▸ queue ▸ consumer ▸ dead letters</div><div role="columnheader" class="q-use">In use</div><div role="columnheader" class="q-spark">5 minutes</div><div role="columnheader" class="q-counts">Messages</div><div role="columnheader" class="q-age">Oldest</div><div role="columnheader" class="q-more"><span class="only-read">Actions</span></div>`} />`}
    </div>
  </div>`;
}

/** @param {{q: any}} props */
function QueueRow({ q }) {
  const off = !!whyNot();
  const menu = (event) =>
    openMenu(event.currentTarget, [
      { label: "Open", icon: "rightward", run: () => navigate(href(["queue", q.name])) },
      { label: "Send…", icon: "send", run: () => openSend(q.name) },
      { label: q.paused ? "Resume delivery" : "Pause delivery", icon: q.paused ? "play" : "pause", disabled: off, run: () => setPaused(q.name, q.paused) },
      q.counts.dead > 0 && { label: "Dead letters", icon: "trash", run: () => navigate(href(["queue", q.name], { tab: "dead" })) },
      { line: true },
      { label: "Copy pause as a command…", icon: "code", run: () => copyAs(event.target, { path: `queues/${encodeURIComponent(q.name)}/${q.paused ? "resume" : "pause"}` }) },
    ]);
  return html`
    <div role="gridcell" class="q-name"><a class="strong cut" href=${href(["queue", q.name])} tabindex="-1">${q.name}</a>
      ${q.paused && html`<span class="tag"><${Shape} state="paused" size=${10} />paused</span>`}
      ${q.deadLettersOf?.length > 0 && html`<span class="soft small cut q-of">dead letters of ${q.deadLettersOf.join(", ")}</span>`}</div>
    <div role="gridcell" class="q-flow"><${Flow} q=${q} /></div>
    <div role="gridcell" class="q-use"><${Utilisation} q=${q} /></div>
    <div role="gridcell" class="q-spark">${q.spark && html`<${Spark} spark=${q.spark} />`}</div>
    <div role="gridcell" class="q-counts">${COUNTS.map(([state, key]) => html`<span key=${key} class=${cls("qc", !q.counts[key] && "zero")} title=${`${STATE_WORDS[state]}: ${count(q.counts[key])}`}><${Shape} state=${state} /><span class="only-read">${STATE_WORDS[state]} </span>${short(q.counts[key])}</span>`)}</div>
    <div role="gridcell" class="q-age small soft">${q.oldestMs ? html`<${Ago} ms=${q.oldestMs} />` : "–"}</div>
    <div role="gridcell" class="q-more"><button type="button" class="btn quiet icon small" tabindex="-1" aria-haspopup="menu" aria-label=${`Actions of ${q.name}`} onClick=${menu}><${Icon} name="more" /></button></div>`;
}

/** producer ▸ queue ▸ consumer ▸ dead letters @param {{q: any, big?: boolean}} props */
export function Flow({ q, big }) {
  const producers = q.producers ?? [];
  const arrow = html`<span class="flow-arrow" aria-hidden="true">▸</span>`;
  return html`<span class=${cls("flow", big && "big")}>
    <span class=${cls("node cut", !producers.length && "none")} title=${producers.join(", ")}>${producers.length ? producers[0] + (producers.length > 1 ? ` +${producers.length - 1}` : "") : "no producer"}</span>${arrow}
    <span class="node here cut" title=${q.name}>${big ? q.name : html`<${Icon} name="queues" size=${13} />`}</span>${arrow}
    ${q.consumer ? html`<span class="node cut" title=${q.consumer.worker || q.consumer.type}>${q.consumer.type === "http_pull" ? "HTTP pull" : q.consumer.worker}${q.consumer.session ? " (another session)" : ""}</span>` : html`<span class="node warn cut"><${Icon} name="warn" size=${13} />no consumer</span>`}
    ${q.deadLetterQueue ? html`${arrow}<a class="node dlq cut" href=${href(["queue", q.deadLetterQueue])} tabindex=${big ? undefined : "-1"} title=${`Dead letters go to ${q.deadLetterQueue}`}><${Shape} state="dead" size=${10} />${q.deadLetterQueue}</a>` : big && q.deadLettersOf?.length ? html`<span class="soft small cut">holds the dead of ${q.deadLettersOf.join(", ")}</span>` : ""}
  </span>`;
}

/** Running invocations of those that may run. @param {{q: any}} props */
export function Utilisation({ q }) {
  const max = q.maxConcurrency ?? 0;
  const part = max ? Math.min(1, q.running / max) : 0;
  return html`<span class="util" title=${`${q.running} of at most ${max || "?"} invocations run`}><svg width="72" height="6" aria-hidden="true"><rect width="72" height="6" rx="3" fill="var(--line)" /><rect width=${72 * part} height="6" rx="3" class="f-in_flight" /></svg><span class="small soft">${q.running}/${max || "–"}</span></span>`;
}
