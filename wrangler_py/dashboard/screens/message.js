/** One message: the way it took, every attempt with its logs and the reason for what became of it, its body, its relatives. */
import { html, cls, useEffect, useMemo, useState, useCell } from "../ui.js";
import { get } from "../api.js";
import { onChange, overview, useQuery } from "../live.js";
import { useKeys } from "../keys.js";
import { href, navigate } from "../router.js";
import { bytes, count, exactTime, fullTime, shortId, span } from "../format.js";
import { copy, copyAs, discard, discardCall, redrive, redriveCall, replay, replayCall, retryCall, retryNow, whyNot } from "../actions.js";
import { BodyView } from "../parts/body_view.js";
import { Icon, Shape, State } from "../parts/icons.js";
import { openSend } from "../parts/send_form.js";
import { StatePath } from "../parts/state_path.js";
import { Ago } from "../parts/times.js";
import { toast } from "../parts/floating.js";

/** @param {{parts: string[]}} props */
export default function Message({ parts }) {
  const id = parts[1] ?? "";
  const { data: m, error, loading } = useQuery((signal) => get("messages/" + encodeURIComponent(id), {}, signal), [id], { on: ["message", "batch.", "clock.", "worker.printed", "queue.purged"], every: 5000 });
  const o = useCell(overview);
  const [at, setAt] = useState(-1);
  const [auto, setAuto] = useState(false);
  const attempts = m?.attempts ?? [];
  const shown = at < 0 ? attempts.length - 1 : Math.min(at, attempts.length - 1);
  const off = !!whyNot();
  const can = m?.actions ?? {};
  const one = { ids: [id] };
  const back = () => (history.length > 1 ? history.back() : navigate(href(["messages"])));
  const again = () => !off && m && replay(one, { open: true });
  const edit = () => m?.body && openSend(m.queue, { text: m.body.text ?? m.body.base64 ?? "", contentType: m.body.base64 && m.body.contentType !== "v8" ? "bytes" : m.body.contentType, replayOf: id, queues: (o?.queues ?? []).map((q) => q.name) });
  const calls = [
    { label: "Replay", call: replayCall(one) },
    can.retryNow && { label: "Retry now", call: retryCall(one) },
    can.redrive && { label: "Redrive", call: redriveCall(m?.queue ?? "", one) },
    can.discard && { label: "Discard", call: discardCall(one) },
  ].filter(Boolean);
  useEffect(() => {
    if (!auto) return;
    return onChange((frame) => {
      if (!frame.kinds?.["worker.reloaded"]) return;
      setAuto(false);
      toast("The code was loaded anew: replaying.");
      replay(one, { open: true });
    });
  }, [auto, id]);
  useKeys([
    { keys: "R", label: "Replay with the code as it is now", group: "Message", run: again },
    { keys: "e", label: "Edit and replay", group: "Message", run: edit },
    { keys: "r", label: "Retry now: do not wait any longer", group: "Message", run: () => can.retryNow && !off && retryNow(one) },
    { keys: "d", label: "Redrive: back to where it died", group: "Message", run: () => can.redrive && !off && redrive(m.queue, one) },
    { keys: "#, Delete", label: "Discard (ten seconds to undo)", group: "Message", run: () => can.discard && !off && discard(one) },
    { keys: "c", label: "Copy an action as a command", group: "Message", run: () => copyAs(document.querySelector("[data-copy]") ?? document.body, calls) },
    { keys: "k, ArrowLeft, [", label: "Attempt before", group: "Message", run: () => shown > 0 && setAt(shown - 1) },
    { keys: "j, ArrowRight, ]", label: "Next attempt", group: "Message", run: () => shown < attempts.length - 1 && setAt(shown + 1) },
    { keys: "w", label: "Show the trace", group: "Message", run: () => m?.traceId && navigate(href(["trace", m.traceId])) },
    { keys: "u, Escape", label: "Back", group: "Message", run: back },
  ]);
  if (!m) {
    return html`<div class="page">${error ? html`<div class="empty"><strong>${error.message}</strong><a href=${href(["messages"])}>All messages</a></div>` : loading && html`<div class="soft">…</div>`}</div>`;
  }
  // A dead letter is tried anew in its dead letter queue.
  const elsewhere = (a) => a.queue && a.queue !== attempts[0].queue;
  const failing = attempts.length > 0 && attempts.at(-1).action && attempts.at(-1).action !== "ack";
  return html`<div class="page message">
    <div class="page-head">
      <button type="button" class="btn quiet icon small" aria-label="Back" title="Back (u)" onClick=${back}><${Icon} name="left" /></button>
      <h1 class="mono-title">${shortId(id)}</h1><${State} state=${m.state} note=${m.dueMs && ["delayed", "retrying"].includes(m.state) ? html`<${Ago} ms=${m.dueMs} />` : null} />
      <a class="tag" href=${href(["queue", m.queue])}>${m.queue}</a>
      <div class="btns">
        <button type="button" class="btn solid" disabled=${off || can.replay === false} title=${whyNot() ?? "Send it again as a new message, to the code as it is now (R)"} onClick=${again}><${Icon} name="replay" size=${14} />Replay <kbd>R</kbd></button>
        <button type="button" class="btn" disabled=${off || !m.body} title=${whyNot()} onClick=${edit}><${Icon} name="edit" size=${14} />Edit & replay</button>
        ${can.retryNow && html`<button type="button" class="btn" disabled=${off} title=${whyNot() ?? "Do not wait any longer (r)"} onClick=${() => retryNow(one)}><${Icon} name="up" size=${14} />Retry now</button>`}
        ${can.redrive && html`<button type="button" class="btn" disabled=${off} title=${whyNot() ?? "Back to the queue where it died (d)"} onClick=${() => redrive(m.queue, one)}><${Icon} name="left" size=${14} />Redrive</button>`}
        ${can.discard && html`<button type="button" class="btn danger" disabled=${off} title=${whyNot()} onClick=${() => discard(one)}><${Icon} name="trash" size=${14} />Discard</button>`}
        <button type="button" class="btn" data-copy="" aria-haspopup="menu" title="The same as a wpy command, with curl, in a test (c)" onClick=${(event) => copyAs(event.currentTarget, calls)}><${Icon} name="code" size=${14} />Copy as</button>
      </div>
    </div>
    <${Lineage} m=${m} />
    ${failing && html`<div class="row small soft wrap"><label class="row"><input type="checkbox" class="check" checked=${auto} disabled=${off} onChange=${() => setAuto(!auto)} /> replay by itself when the code is saved</label>${auto && html`<span class="tag amber">waits for the next save</span>`}</div>`}
    <div class="msg-grid">
      <div class="stack">
        <section class="panel" aria-label="Attempts">
          <header><h2>${attempts.length ? html`Attempt ${shown + 1} of ${attempts.length}${elsewhere(attempts[shown]) ? html` <span class="soft">in ${attempts[shown].queue}</span>` : ""}` : "Not tried yet"}</h2><span class="grow"></span>
            ${attempts.length > 1 && html`<div class="pager" role="group" aria-label="Attempts">${attempts.length > 12 ? html`<button type="button" class="btn small icon" aria-label="Attempt before" disabled=${shown === 0} onClick=${() => setAt(shown - 1)}><${Icon} name="left" size=${14} /></button><button type="button" class="btn small icon" aria-label="Next attempt" disabled=${shown === attempts.length - 1} onClick=${() => setAt(shown + 1)}><${Icon} name="rightward" size=${14} /></button>`
              : attempts.map((a, i) => html`<button type="button" key=${i} class="btn small" aria-pressed=${String(i === shown)} aria-label=${`Attempt ${i + 1}: ${a.action ?? "running"}${elsewhere(a) ? ` in ${a.queue}` : ""}`} title=${elsewhere(a) ? `in ${a.queue}` : undefined} onClick=${() => setAt(i)}><${Shape} state=${shapeOf(a)} />${i + 1}</button>`)}</div>`}
          </header>
          ${attempts.length ? html`<${Attempt} a=${attempts[shown]} before=${attempts[shown - 1]} m=${m} />` : html`<div class="empty"><span>${waitsWhy(m)}</span></div>`}
        </section>
        <section class="panel" aria-label="Body"><header><h2>Body</h2></header><div class="body"><${BodyView} body=${m.body} bytes=${m.size} /></div></section>
      </div>
      <div class="stack">
        <section class="panel" aria-label="The way it took"><header><h2>The way it took</h2><span class="grow"></span>${m.traceId && html`<a class="small" href=${href(["trace", m.traceId])}>Trace</a>`}</header><div class="body path-body"><${StatePath} path=${m.path ?? []} state=${m.state} deadLetterQueue=${m.deadLetterQueue} />
          <${Steps} path=${m.path ?? []} /></div></section>
        <section class="panel" aria-label="Facts"><header><h2>Facts</h2></header><div class="body"><dl class="facts">
          <dt>Id</dt><dd><button type="button" class="link mono" title="Copy" onClick=${() => copy(id, "the id")}>${id}</button></dd>
          <dt>Sent</dt><dd>${fullTime(m.sentMs)}</dd>
          ${m.endedMs && html`<dt>Ended</dt><dd>${fullTime(m.endedMs)} <span class="soft">after ${span(m.endedMs - m.sentMs)}</span></dd>`}
          ${m.dueMs && !m.endedMs && html`<dt>Due</dt><dd>${fullTime(m.dueMs)}</dd>`}
          <dt>Size</dt><dd>${bytes(m.size)} of ${m.contentType}</dd>
          ${m.delaySeconds !== null && m.delaySeconds !== undefined && html`<dt>Delay</dt><dd>${m.delaySeconds} s</dd>`}
          <dt>Retries</dt><dd>${m.maxRetries === null || m.maxRetries === undefined ? "no consumer says" : `at most ${m.maxRetries}, then ${m.deadLetterQueue ? `to ${m.deadLetterQueue}` : "dropped"}`}</dd>
          ${m.diedIn && html`<dt>Died in</dt><dd><a href=${href(["queue", m.diedIn])}>${m.diedIn}</a></dd>`}
          <dt>Sent by</dt><dd>${m.source ?? "–"}</dd>
          ${m.traceId && html`<dt>Trace</dt><dd><a class="mono" href=${href(["trace", m.traceId])}>${m.traceId.slice(0, 16)}</a></dd>`}
        </dl></div></section>
      </div>
    </div>
  </div>`;
}

/** @param {any} a */
const shapeOf = (a) => ({ ack: "acked", retry: "retrying", dead_letter: "dead", drop: "dead", release: "other" })[a.action] ?? "in_flight";
const ACTIONS = { ack: "Acknowledged", retry: "Retried", dead_letter: "Dead-lettered", drop: "Dropped", release: "Given back" };

/** "retried: message.retry() at ..." without what stands above it already. @param {string} why */
const sentence = (why) => why.replace(/^[a-z -]+: (.)/, (_, first) => first.toUpperCase());

/** @param {any} m */
function waitsWhy(m) {
  if (m.state === "delayed") return html`It was sent with a delay, and becomes ready <${Ago} ms=${m.dueMs} />.`;
  if (m.state === "ready") return "It waits for a batch: its queue's consumer takes it when the batch is full or its time is up.";
  return "The record has no attempts of it.";
}

/** @param {{a: any, before: any, m: any}} props */
function Attempt({ a, before, m }) {
  const trace = useMemo(() => a.traceback ?? (a.error?.includes("\n") ? a.error : null), [a]);
  // The runtime prints what the handler raised; it stands above already.
  const logs = (a.logs ?? []).filter((l) => l.text.trim() !== trace?.trim());
  return html`<div class="body stack">
    <div class=${cls("why", "w-" + shapeOf(a))}>
      <${Shape} state=${shapeOf(a)} size=${16} />
      <div class="grow"><b>${ACTIONS[a.action] ?? "Running"}</b><p>${a.why ? sentence(a.why) : a.action ? a.reason : "The handler has it now."}</p></div>
    </div>
    <div class="row wrap small soft facts-line">
      <span title=${fullTime(a.atMs)}>${exactTime(a.atMs)}</span>
      ${a.ms !== null && a.ms !== undefined && html`<span>took <b>${span(a.ms)}</b></span>`}
      ${before && html`<span>${span(a.atMs - before.atMs)} after the one before</span>`}
      ${a.batch && html`<a href=${href(["batch", String(a.batch)])}>batch ${String(a.batch).slice(0, 8)}</a>`}
      ${a.worker && html`<span>worker ${a.worker}</span>`}
      ${a.where && html`<code class="src">${a.where}</code>`}
      ${a.delaySeconds ? html`<span>next try after <b>${span(a.delaySeconds * 1000)}</b></span>` : ""}
      ${a.action === "retry" && m.maxRetries != null && html`<span>${Math.max(0, m.maxRetries + 1 - a.attempt)} left</span>`}
    </div>
    ${trace ? html`<div><h3 class="bad">Traceback</h3><pre class="block wrap trace" tabindex="0">${trace}</pre></div>` : a.error && html`<pre class="block wrap trace" tabindex="0">${a.error}</pre>`}
    ${logs.length ? html`<div><h3>${a.batchSize > 1 ? `Logs of the batch, which had ${a.batchSize} messages` : "Logs"}</h3><ol class="loglines" tabindex="0" aria-label="Logs of this attempt">${logs.map((l) => html`<li class=${"l-" + l.level}><span class="soft mono">${exactTime(l.atMs)}</span><span class="mono">${l.text}</span></li>`)}</ol></div>` : html`<p class="soft small">${a.batchSize > 1 ? "The batch" : "It"} printed nothing.</p>`}
  </div>`;
}

/** The path once more, in words and with exact times. @param {{path: any[]}} props */
function Steps({ path }) {
  return html`<details class="steps"><summary>${count(path.length)} steps with their times</summary><ol>${path.map((s) => html`<li class="row small"><span class="mono soft">${exactTime(s.atMs)}</span><span class="grow">${s.state === "in_flight" ? html`in a batch${s.attempt ? `, attempt ${s.attempt}` : ""}` : s.state.replace("_", " ")}${s.untilMs ? html` <span class="soft">for ${span(s.untilMs - s.atMs)}</span>` : ""}${s.queue ? html` <span class="soft">${s.queue}</span>` : ""}</span>${s.reason && html`<span class="soft cut">${s.reason}${s.where ? ` at ${s.where}` : ""}</span>`}</li>`)}</ol></details>`;
}

/** Where it comes from and what came of it. @param {{m: any}} props */
function Lineage({ m }) {
  const l = m.lineage ?? {};
  const replays = l.replays ?? [];
  const children = l.children ?? [];
  if (!l.parent && !l.replayedFrom && !replays.length && !children.length) return null;
  return html`<div class="lineage row wrap small">
    ${l.parent && html`<span class="soft">from</span><span class="tag">${l.parent.label || l.parent.kind}</span>${(l.parent.messages ?? []).slice(0, 3).map((x) => html`<a class="tag mono" href=${href(["message", x])}>${shortId(x)}</a>`)}`}
    ${l.replayedFrom && html`<span class="soft">replay of</span><${Relative} id=${l.replayedFrom} />`}
    ${replays.length > 0 && html`<span class="soft">replayed as</span>${replays.slice(-5).map((x) => html`<${Relative} key=${x} id=${typeof x === "string" ? x : x.id} />`)}`}
    ${children.length > 0 && html`<span class="soft">sent</span>${children.slice(0, 6).map((x) => html`<${Relative} key=${x.id} id=${x.id} queue=${x.queue} />`)}${children.length > 6 && html`<span class="soft">and ${children.length - 6} more</span>`}`}
  </div>`;
}

/** A message elsewhere, with its state, kept fresh. @param {{id: string, queue?: string}} props */
function Relative({ id, queue }) {
  const { data } = useQuery((signal) => get("messages/" + id, {}, signal), [id], { on: ["message.", "batch."] });
  return html`<a class=${cls("tag relative", data && "s-" + data.state)} href=${href(["message", id])}>${data && html`<${Shape} state=${data.state} />`}<span class="mono">${shortId(id)}</span>${queue && html`<span>${queue}</span>`}${data && html`<span>${data.state.replace("_", " ")}</span>`}</a>`;
}
