/** Now: what happens, newest on top, and beside it what needs a person. */
import { html, cls, slim, useCell, useEffect, useMemo, useRef, useState } from "../ui.js";
import { get } from "../api.js";
import { now, onChange, overview, useQuery } from "../live.js";
import { describe } from "../events_text.js";
import { useKeys } from "../keys.js";
import { href, navigate } from "../router.js";
import { count, plural } from "../format.js";
import { copyAs, replay, replayCall, whyNot } from "../actions.js";
import { Icon, Shape } from "../parts/icons.js";
import { Ago, At } from "../parts/times.js";

const KEPT = 400;
const STATES = new Set(["ready", "delayed", "in_flight", "retrying", "acked", "dead", "paused", "other"]);

export default function Now() {
  const o = useCell(overview);
  return html`<div class="page fixed now">
    <h1 class="only-read">Now</h1>
    <div class="now-grid fill">
      <${Timeline} queues=${o?.queues ?? []} url=${o?.url} />
      <${NeedsYou} o=${o} />
    </div>
  </div>`;
}

// The timeline ----------------------------------------------------------------------------------------------------

/** The latest events; while held they are counted and not shown. */
function useEvents() {
  const [events, setEvents] = useState(/** @type {any[] | null} */ (null));
  const [fresh, setFresh] = useState(0);
  const held = useRef(false);
  const waiting = useRef(/** @type {any[]} */ ([]));
  useEffect(() => {
    let here = true;
    let before = /** @type {any[]} */ ([]);
    const put = (more) =>
      setEvents((old) => {
        const known = new Set((old ?? []).slice(0, 200).map((e) => e.seq));
        return [...more.filter((e) => !known.has(e.seq)).sort((a, b) => b.seq - a.seq), ...(old ?? [])].slice(0, KEPT);
      });
    const end = onChange((frame) => {
      const news = frame.events ?? [];
      if (!news.length && !frame.skipped) return;
      const list = frame.skipped ? [...news, { seq: (news[0]?.seq ?? frame.seq) - 0.5, atMs: news[0]?.atMs ?? now(), kind: "skipped", data: { count: frame.skipped } }] : news;
      if (held.current) {
        waiting.current = [...list, ...waiting.current].slice(0, KEPT);
        setFresh(waiting.current.length);
      } else put(list);
    });
    const seq = overview.get()?.seq;
    const load = async () => {
      const at = seq ?? (await get("events", { after: 0, limit: 1 })).seq;
      before = (await get("events", { after: Math.max(0, at - 150), limit: 150 })).events;
      if (here) put(before);
    };
    load().catch(() => here && setEvents((old) => old ?? []));
    return () => {
      here = false;
      end();
    };
  }, []);
  const show = () => {
    const list = waiting.current;
    waiting.current = [];
    setFresh(0);
    setEvents((old) => [...list.sort((a, b) => b.seq - a.seq), ...(old ?? [])].slice(0, KEPT));
  };
  return {
    events,
    fresh,
    show,
    /** @param {boolean} on */
    hold(on) {
      held.current = on;
      if (!on && waiting.current.length) show();
    },
  };
}

/** @param {{queues: any[], url?: string}} props */
function Timeline({ url }) {
  const { events, fresh, show, hold } = useEvents();
  const [lane, setLane] = useState(/** @type {string | null} */ (null));
  const [quiet, setQuiet] = useState(localStorage.getItem("wpy.logs") === "no");
  const lines = useMemo(() => (events ?? []).map((e) => (e.kind === "skipped" ? { e, line: { lane: "…", shape: "more", tone: "quiet", title: `${count(e.data.count)} more events` } } : { e, line: describe(e) })).filter((x) => x.line), [events]);
  const lanes = useMemo(() => {
    const found = new Map();
    for (const { line } of lines) if (line.lane !== "…") found.set(line.lane, (found.get(line.lane) ?? 0) + 1);
    return [...found.keys()].sort((a, b) => ORDER(a) - ORDER(b) || a.localeCompare(b));
  }, [lines]);
  const height = useCell(slim) ? 46 : 30; // narrow, an event takes two lines
  const shown = lines.filter(({ line }) => (lane ? line.lane === lane : !(quiet && line.lane === "logs"))).slice(0, 250);
  useKeys([
    { keys: "n", label: "Show new events", group: "List", run: show },
    { keys: "Escape", label: "All lanes", group: "List", run: () => setLane(null) },
  ]);
  return html`<section class="panel timeline" aria-label="What happens" onPointerEnter=${(e) => e.pointerType === "mouse" && hold(true)} onPointerLeave=${() => hold(false)}>
    <header><h2>Live</h2><span class="grow"></span>
      <label class="row small soft"><input type="checkbox" class="check" checked=${!quiet} onChange=${() => (localStorage.setItem("wpy.logs", quiet ? "yes" : "no"), setQuiet(!quiet))} /> logs</label>
    </header>
    <div class="lanes" role="group" aria-label="Lanes">
      <button type="button" class="lane-chip" aria-pressed=${String(!lane)} onClick=${() => setLane(null)}>All</button>
      ${lanes.slice(0, 12).map((name) => html`<button type="button" key=${name} class="lane-chip" aria-pressed=${String(lane === name)} onClick=${() => setLane(lane === name ? null : name)}><i class=${"hue h" + hue(name)}></i>${name}</button>`)}
    </div>
    <div class="timeline-scroll" tabindex="0" aria-label="Events, newest first">
      ${events && !lines.length ? html`<div class="empty"><strong>Nothing has happened yet</strong><span>Send the Worker a request, or a queue a message.</span><pre>curl ${url ?? "http://localhost:8787"}</pre></div>` : html`<ol style=${{ height: shown.length * height + "px" }}>
        ${shown.map(({ e, line }, i) => html`<li key=${e.seq} class=${cls("event", "tone-" + line.tone)} style=${{ transform: `translateY(${i * height}px)` }}>
          <span class="when mono">${sameSecond(shown[i - 1]?.e, e) ? "" : html`<${At} ms=${e.atMs} />`}</span>
          <span class="lane cut" title=${line.lane}><i class=${"hue h" + hue(line.lane)}></i>${line.lane}</span>
          <span class="what">${STATES.has(line.shape) ? html`<${Shape} state=${line.shape} />` : html`<${Icon} name=${line.shape} size=${13} />`}
            ${line.to ? html`<a class="cut" href=${line.to}>${line.title}</a>` : html`<span class="cut">${line.title}</span>`}
            ${line.note && html`<span class="soft small cut">${line.note}</span>`}</span>
        </li>`)}
      </ol>`}
    </div>
    <button type="button" class="fresh" hidden=${!fresh} onClick=${show}>${plural(fresh, "new event")} <kbd>n</kbd></button>
  </section>`;
}

const FIXED = ["requests", "crons", "alarms", "tasks", "workflows", "logs", "session"];
const ORDER = (/** @type {string} */ lane) => (FIXED.includes(lane) ? 100 + FIXED.indexOf(lane) : 0);
const sameSecond = (/** @type {any} */ a, /** @type {any} */ b) => !!a && Math.floor(a.atMs / 1000) === Math.floor(b.atMs / 1000);

/** One of eight hues for a lane, always the same. @param {string} name */
function hue(name) {
  let n = 7;
  for (const c of name) n = (n * 31 + c.charCodeAt(0)) % 8191;
  return n % 8;
}

// What needs a person -----------------------------------------------------------------------------------------------

/** @param {{o: any}} props */
function NeedsYou({ o }) {
  const [at, setAt] = useState(-1);
  const crons = useQuery((signal) => get("crons", {}, signal), [], { on: ["cron.", "worker.reloaded"] });
  const failures = o?.failures ?? [];
  const broken = (o?.workers ?? []).filter((w) => w.error);
  const advice = o?.advice ?? [];
  const unheard = (o?.queues ?? []).filter((q) => !q.consumer && q.backlog > 0 && !q.deadLettersOf?.length && !advice.some((a) => a.queue === q.name));
  const late = (crons.data?.crons ?? []).filter((c) => c.missed > 0 || c.rejected);
  const dead = (o?.queues ?? []).filter((q) => q.deadLettersOf?.length && q.counts.dead > 0);
  const nothing = o && !failures.length && !broken.length && !advice.length && !unheard.length && !late.length && !dead.length && !o.record?.error;
  const group = failures[at];
  const open = (f) => f && navigate(f.messageIds?.length ? href(["message", f.messageIds[0]]) : f.kind === "cron" ? href(["crons"]) : href(["logs"], { q: f.type }));
  const again = (f) => f?.messageIds?.length && !whyNot() && replay({ ids: f.messageIds.slice(0, 1) }, { open: true });
  useKeys([
    { keys: "j, ArrowDown", label: "Next failure", group: "List", run: () => failures.length && setAt(Math.min(failures.length - 1, at + 1)) },
    { keys: "k, ArrowUp", label: "Failure before", group: "List", run: () => failures.length && setAt(Math.max(0, at - 1)) },
    { keys: "Enter, o", label: "Open the first failing message", group: "List", run: () => open(group) },
    { keys: "R", label: "Replay with the code as it is now", group: "Message", run: () => again(group) },
    { keys: "/", label: "Search messages", group: "List", run: () => navigate(href(["messages"])) },
  ]);
  return html`<section class="panel needs" aria-label="Needs you">
    <header><h2>Needs you</h2><span class="grow"></span>${failures.length > 0 && html`<span class="soft small">failures by exception and line</span>`}</header>
    <div class="needs-scroll" tabindex="0" aria-label="What needs you">
      ${nothing && html`<div class="empty calm"><span class="s-acked"><${Icon} name="check" size=${26} /></span><strong>All is well</strong><span>No failures${o.reloadedMs ? " since the code was loaded" : ""}, no dead letters, every queue has its consumer.</span></div>`}
      ${broken.map((w) => html`<article class="need" key=${"w" + w.name}><div class="row"><${Shape} state="dead" /><b class="grow cut">Worker ${w.name} could not be loaded</b>${w.state === "up" && html`<span class="tag">the version before serves</span>`}</div><pre class="block wrap trace" tabindex="0">${w.error}</pre><p class="soft small">Save the file again once it is mended; it is loaded by itself.</p></article>`)}
      ${failures.map((f, i) => html`<article key=${f.key} class=${cls("need", i === at && "cursor")}>
        <div class="row"><${Shape} state="dead" />
          <a class="grow cut strong" href=${f.messageIds?.length ? href(["message", f.messageIds[0]]) : f.kind === "cron" ? href(["crons"]) : href(["logs"], { level: "error" })}>${f.type}${f.message ? html`<span class="msg">: ${f.message}</span>` : ""}</a>
          <b title="How often">×${count(f.count)}</b></div>
        <div class="row wrap small soft">
          ${f.where && html`<code>${f.where}</code>`}${(f.queues ?? []).map((q) => html`<a class="tag" href=${href(["queue", q])}>${q}</a>`)}${f.kind === "cron" && html`<span class="tag">cron</span>`}
          <span>last <${Ago} ms=${f.lastMs} /></span>
          ${f.sinceReload > 0 ? html`<span class="tag dead">${count(f.sinceReload)} since the last save</span>` : html`<span class="tag">none since the last save</span>`}
        </div>
        <div class="btns">
          ${f.messageIds?.length > 0 && html`<a class="btn small" href=${href(["message", f.messageIds[0]])}>Open${f.messageIds.length > 1 ? " the latest" : ""}</a>
            <button type="button" class="btn small" disabled=${!!whyNot()} title=${whyNot()} onClick=${() => again(f)}><${Icon} name="replay" size=${14} />Replay with new code</button>
            <button type="button" class="btn small quiet icon" aria-label="Copy the replay as a command" onClick=${(event) => copyAs(event.currentTarget, replayCall({ ids: f.messageIds.slice(0, 1) }))}><${Icon} name="code" size=${14} /></button>`}
          ${f.kind === "cron" && html`<a class="btn small" href=${href(["crons"])}>Open the crons</a>`}
          ${!f.messageIds?.length && f.kind !== "cron" && html`<a class="btn small" href=${href(["logs"], { level: "error" })}>Open the logs</a>`}
        </div>
      </article>`)}
      ${dead.map((q) => html`<article class="need" key=${"d" + q.name}><div class="row"><${Shape} state="dead" /><a class="grow cut strong" href=${href(["queue", q.name], { tab: "dead" })}>${plural(q.counts.dead, "dead letter")} in ${q.name}</a></div>
        <div class="btns"><a class="btn small" href=${href(["queue", q.name], { tab: "dead" })}>Look and redrive</a></div></article>`)}
      ${unheard.map((q) => html`<article class="need" key=${"u" + q.name}><div class="row"><${Icon} name="warn" /><span class="grow"><a class="strong" href=${href(["queue", q.name])}>${q.name}</a> holds ${plural(q.backlog, "message")} and nobody consumes it.</span></div></article>`)}
      ${advice.map((a, i) => html`<article class="need" key=${"a" + i}><div class="row top"><${Icon} name="warn" /><span class="grow">${a.text}</span>${a.queue && html`<a class="btn small" href=${href(["queue", a.queue])}>Open</a>`}</div></article>`)}
      ${o?.record?.error && html`<article class="need"><div class="row top"><${Icon} name="warn" /><span class="grow">What happens is not recorded: ${o.record.error}</span></div></article>`}
      ${late.map((c) => html`<article class="need" key=${"c" + c.worker + c.cron}><div class="row"><${Icon} name="crons" /><span class="grow"><a class="strong mono" href=${href(["cron", c.worker, c.cron])}>${c.cron}</a> ${c.rejected ? html`will not fire: ${c.rejected.error ?? c.rejected}` : html`missed ${plural(c.missed, "run")}.`}</span></div></article>`)}
    </div>
  </section>`;
}
