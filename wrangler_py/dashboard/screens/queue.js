/** One queue: its messages, its settings and where each comes from, its dead letters, its figures. */
import { html, cls, useEffect, useState } from "../ui.js";
import { get, queuePath } from "../api.js";
import { useQuery } from "../live.js";
import { useKeys } from "../keys.js";
import { href, navigate, setParams } from "../router.js";
import { bytes, count, plural, short, span } from "../format.js";
import { act, copyAs, redriveCall, setPaused, whyNot } from "../actions.js";
import { Icon, Shape, STATE_WORDS } from "../parts/icons.js";
import { Chart } from "../parts/charts.js";
import { Dialog, openDialog, openMenu } from "../parts/floating.js";
import { MessageList } from "../parts/message_list.js";
import { openRedrive } from "../parts/redrive_form.js";
import { openSend } from "../parts/send_form.js";
import { Ago } from "../parts/times.js";
import { Flow, Utilisation } from "./queues.js";

const COUNTS = [["ready", "ready"], ["delayed", "delayed"], ["in_flight", "inFlight"], ["retrying", "retrying"], ["dead", "dead"]];

/** @param {{parts: string[], params: URLSearchParams}} props */
export default function Queue({ parts, params }) {
  const name = parts[1] ?? "";
  const { data: q, error } = useQuery((signal) => get(queuePath(name), {}, signal), [name], { on: ["message", "batch.", "queue.", "consumer.", "worker.reloaded", "clock."], queue: name, every: 10000 });
  const isDlq = !!q?.deadLettersOf?.length;
  const tab = params.get("tab") ?? (isDlq ? "dead" : "messages");
  useEffect(() => {
    if (params.get("send")) {
      setParams({ send: null });
      openSend(name);
    }
  }, []);
  const tabs = [["messages", "Messages"], ["settings", "Settings"], ["dead", "Dead letters"], ["metrics", "Metrics"]];
  const go = (id) => setParams({ tab: id, q: null });
  const off = !!whyNot();
  const purge = () => openDialog(({ close }) => html`<${PurgeForm} name=${name} close=${close} />`);
  useKeys([
    { keys: "s", label: "Send to this queue", group: "List", run: () => openSend(name) },
    { keys: "[", label: "Tab before", group: "List", run: () => go(tabs[(tabs.findIndex(([id]) => id === tab) + 3) % 4][0]) },
    { keys: "]", label: "Next tab", group: "List", run: () => go(tabs[(tabs.findIndex(([id]) => id === tab) + 1) % 4][0]) },
    { keys: "u", label: "Back to the queues", group: "List", run: () => navigate(href(["queues"])) },
  ]);
  if (error && !q) return html`<div class="page"><div class="empty"><strong>${error.message}</strong><a href=${href(["queues"])}>All queues</a></div></div>`;
  const more = (event) =>
    openMenu(event.currentTarget, [
      { label: q?.paused ? "Resume delivery" : "Pause delivery", icon: q?.paused ? "play" : "pause", disabled: off, run: () => setPaused(name, q.paused) },
      { label: "Purge…", icon: "trash", danger: true, disabled: off, run: purge },
      { line: true },
      { label: "Copy as wpy, curl, pytest…", icon: "code", run: () => copyAs(document.querySelector("[data-more]"), [{ label: "Pause", call: { path: `${queuePath(name)}/pause` } }, { label: "Purge", call: { path: `${queuePath(name)}/purge` } }]) },
    ]);
  return html`<div class=${cls("page", (tab === "messages" || tab === "dead") && "fixed")}>
    <div class="page-head">
      <h1><a class="crumbs" href=${href(["queues"])}>Queues</a> <span class="crumbs">/</span> ${name}</h1>
      ${q?.paused && html`<span class="tag"><${Shape} state="paused" size=${10} />paused</span>`}
      <div class="btns">
        <button type="button" class="btn" onClick=${() => openSend(name)}><${Icon} name="send" size=${14} />Send <kbd>s</kbd></button>
        <button type="button" class="btn" disabled=${off || !q} title=${whyNot()} onClick=${() => setPaused(name, q.paused)}><${Icon} name=${q?.paused ? "play" : "pause"} size=${14} />${q?.paused ? "Resume" : "Pause"}</button>
        <button type="button" class="btn icon" data-more="" aria-label="More actions" aria-haspopup="menu" onClick=${more}><${Icon} name="more" /></button>
      </div>
    </div>
    <div class="panel qsummary">
      ${q && q.counts ? html`<${Flow} q=${q} big /><span class="grow"></span>
        <span class="row wrap qfacts">${COUNTS.map(([s, key]) => html`<button type="button" class=${cls("qc", !q.counts[key] && "zero")} title=${`${STATE_WORDS[s]}: show them`} onClick=${() => setParams({ tab: "messages", q: `state:${s}` })}><${Shape} state=${s} />${STATE_WORDS[s]} <b>${short(q.counts[key])}</b></button>`)}
          <span class="qc"><${Utilisation} q=${q} /></span><span class="qc soft small">${bytes(q.bytes ?? 0)}</span>${q.oldestMs ? html`<span class="qc soft small">oldest <${Ago} ms=${q.oldestMs} /></span>` : ""}</span>` : html`<span class="soft">…</span>`}
    </div>
    <div class="tabs" role="tablist" aria-label="Parts of the queue">
      ${tabs.map(([id, label]) => html`<button type="button" role="tab" key=${id} aria-selected=${String(tab === id)} onClick=${() => go(id)}>${label}${id === "dead" && deadOf(q) ? html`<span class="badge">${short(deadOf(q))}</span>` : ""}</button>`)}
    </div>
    ${tab === "messages" && html`<${MessageList} q=${params.get("q") ?? ""} onSearch=${(text) => setParams({ q: text })} queue=${name} dead=${isDlq}
      empty=${html`<div class="empty"><strong>No messages</strong><span>Neither waiting nor in the record.</span><button type="button" class="btn solid" onClick=${() => openSend(name)}><${Icon} name="send" size=${14} />Send one</button><pre>wpy queues send ${name} '{"hello": "world"}'</pre></div>`} />`}
    ${tab === "dead" && html`<${DeadLetters} q=${q} name=${name} isDlq=${isDlq} search=${params.get("q") ?? ""} />`}
    ${tab === "settings" && html`<${Settings} q=${q} />`}
    ${tab === "metrics" && html`<${Metrics} name=${name} />`}
  </div>`;
}

const deadOf = (/** @type {any} */ q) => (q?.deadLettersOf?.length ? q.counts.dead : 0);

/** @param {{q: any, name: string, isDlq: boolean, search: string}} props */
function DeadLetters({ q, name, isDlq, search }) {
  const dlq = isDlq ? name : q?.deadLetterQueue;
  if (!q) return null;
  if (!dlq)
    return html`<div class="panel"><div class="empty"><strong>No dead letter queue</strong><span>A message whose retries run out is dropped, as in production. To keep it, name a queue for it:</span><pre>${`[[queues.consumers]]\nqueue = "${name}"\ndead_letter_queue = "${name}-dead"`}</pre></div></div>`;
  const query = [isDlq ? "" : "state:dead", search].filter(Boolean).join(" ");
  const n = isDlq ? q.counts.dead : null;
  return html`
    <div class="row wrap dead-head"><span class="soft">${isDlq ? html`Dead letters of ${q.deadLettersOf.map((x, i) => html`${i > 0 && ", "}<a href=${href(["queue", x])}>${x}</a>`)}` : html`They wait in <a href=${href(["queue", dlq])}>${dlq}</a>`}</span><span class="grow"></span>
      <button type="button" class="btn small quiet" onClick=${(event) => copyAs(event.currentTarget, redriveCall(dlq, search ? { q: search } : {}))}>Copy as…</button>
      <button type="button" class="btn solid" disabled=${!!whyNot() || n === 0} title=${whyNot()} onClick=${() => openRedrive(dlq, { q: search }, n ?? 0)}><${Icon} name="left" size=${14} />Redrive all…</button></div>
    <${MessageList} q=${query} onSearch=${(text) => setParams({ q: text.replace(/(^|\s)state:dead(?=\s|$)/, "").trim() })} queue=${dlq} dead
      empty=${html`<div class="empty calm"><span class="s-acked"><${Icon} name="check" size=${26} /></span><strong>No dead letters</strong><span>Messages come here after ${q.settings?.find((s) => s.key === "max_retries")?.value ?? "their last"} retries.</span></div>`} />`;
}

/** @param {{q: any}} props */
function Settings({ q }) {
  const list = q?.settings ?? [];
  const value = (v, unit) => (v === null || v === undefined ? html`<span class="soft">not set</span>` : html`<b>${typeof v === "number" ? count(v) : String(v)}</b>${unit ? html` <span class="soft">${unit}</span>` : ""}`);
  return html`<div class="panel" tabindex="0" role="region" aria-label="Settings">
    <table class="table"><thead><tr><th scope="col">Setting</th><th scope="col">In force</th><th scope="col" class="hide-narrow">From</th><th scope="col" class="hide-narrow">Production's default</th><th scope="col" class="hide-narrow">Range</th></tr></thead>
      <tbody>${list.map((s) => {
        const same = String(s.value) === String(s.default);
        const from = s.source === "default" ? html`<span class="soft">default</span>` : html`<code class="src">${s.source}</code>`;
        return html`<tr key=${s.key}><th scope="row"><code>${s.key}</code>
            <span class="show-narrow small">${from}${!same && html` <span class="soft">production:</span> ${value(s.default, s.unit)}`}</span></th>
          <td>${value(s.value, s.unit)}</td><td class="hide-narrow">${from}</td><td class="hide-narrow">${same ? html`<span class="soft">the same</span>` : value(s.default, s.unit)}</td><td class="soft hide-narrow">${s.range ?? ""}</td></tr>`;
      })}</tbody></table>
    ${q && !list.length && html`<div class="empty"><strong>No settings</strong><span>Nobody consumes this queue in this session.</span></div>`}
    ${q && html`<footer class="panel-foot soft small">${q.id && html`<span>id <code>${q.id}</code></span>`} ${q.createdMs && html`<span>created <${Ago} ms=${q.createdMs} /></span>`} <span>Change them in the config and save: they are in force at once.</span></footer>`}
  </div>`;
}

/** @param {{name: string}} props */
function Metrics({ name }) {
  const [minutes, setMinutes] = useState(15);
  const { data, error } = useQuery((signal) => get("metrics", { queue: name, minutes, buckets: 60 }, signal), [name, minutes], { on: ["batch.", "message"], queue: name, every: 5000 });
  const s = data?.series;
  const frame = { fromMs: data?.fromMs ?? 0, bucketMs: data?.bucketMs ?? 1 };
  return html`
    <div class="row"><div class="seg" role="group" aria-label="Span">${[5, 15, 60, 360, 1440].map((m) => html`<button type="button" key=${m} aria-pressed=${String(m === minutes)} onClick=${() => setMinutes(m)}>${m < 60 ? `${m} min` : `${m / 60} h`}</button>`)}</div></div>
    ${error && html`<div class="note bad">${error.message}</div>`}
    ${s && html`<div class="charts">
      <div class="panel body"><${Chart} title="What became of messages" kind="bars" ...${frame} series=${[{ name: "acked", color: "var(--acked)", values: s.acked }, { name: "retried", color: "var(--retrying)", values: s.retried }, { name: "dead or dropped", color: "var(--dead)", values: s.dead }]} /></div>
      <div class="panel body"><${Chart} title="Waiting" ...${frame} series=${[{ name: "depth", color: "var(--ready)", values: s.depth }]} /></div>
      <div class="panel body"><${Chart} title="From ready to settled" unit=${span} ...${frame} series=${[{ name: "p50", color: "var(--in_flight)", values: s.p50Ms }, { name: "p95", color: "var(--retrying)", values: s.p95Ms, dash: "5 3" }]} /></div>
      <div class="panel body"><${Chart} title="Age of the oldest" unit=${span} ...${frame} series=${[{ name: "oldest", color: "var(--delayed)", values: s.oldestAgeMs }]} /></div>
      <div class="panel body"><${Chart} title="Sent" kind="bars" ...${frame} series=${[{ name: "sent", color: "var(--ready)", values: s.sent }]} /></div>
      <div class="panel body"><${Chart} title="Failures" kind="bars" ...${frame} series=${[{ name: "failed attempts", color: "var(--dead)", values: s.failed }]} /></div>
    </div>`}`;
}

/** @param {{name: string, close: () => void}} props */
function PurgeForm({ name, close }) {
  const [typed, setTyped] = useState("");
  const call = { path: `${queuePath(name)}/purge`, body: {} };
  const submit = async () => {
    if (typed !== name) return;
    close();
    await act(call, (a) => `${plural(a.count ?? 0, "message")} of ${name} deleted.`);
  };
  return html`<${Dialog} title=${`Purge ${name}`} close=${close} onSubmit=${submit}
    footer=${html`<button type="button" class="btn quiet" onClick=${(event) => copyAs(event.currentTarget, call)}>Copy as…</button><span class="grow"></span><button type="button" class="btn" onClick=${close}>Cancel</button><button type="submit" class="btn danger" disabled=${typed !== name}>Delete all messages</button>`}>
    <p>All messages that wait in this queue are deleted for good, as Cloudflare's purge does. To take away some with a way back, select them and discard them instead.</p>
    <label class="field"><span>Type the name of the queue</span><input class="input mono" autofocus value=${typed} onInput=${(event) => setTyped(event.target.value)} autocomplete="off" /></label>
  </${Dialog}>`;
}
