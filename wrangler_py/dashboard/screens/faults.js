/** Faults on purpose: what production may do to a handler, tried out while the session runs. */
import { html, useState } from "../ui.js";
import { get } from "../api.js";
import { useQuery } from "../live.js";
import { href } from "../router.js";
import { count, plural } from "../format.js";
import { useLimits } from "../limits.js";
import { act, copyAs, whyNot } from "../actions.js";
import { FAULTS } from "../events_text.js";
import { Icon } from "../parts/icons.js";

const MEANS = {
  fail: "The batch fails before its handler is called, as if the handler had raised at once.",
  slow: "The handler is called later: by so much of real time, whatever the session's clock shows.",
  duplicate: "A message that was acknowledged is delivered again, if it has a delivery left: queues deliver at least once, and may do this.",
};

export default function Faults() {
  const { data, error, reload } = useQuery((signal) => get("faults", {}, signal), [], { on: ["fault.", "batch.finished", "worker.reloaded"], every: 10000 });
  const [queue, setQueue] = useState("");
  const [kind, setKind] = useState("fail");
  const [percent, setPercent] = useState("100");
  const [times, setTimes] = useState("");
  const [ms, setMs] = useState("1000");
  const [busy, setBusy] = useState(false);
  const { fault_slow_ms: most } = useLimits();
  const queues = data?.queues ?? [];
  const chosen = queue || queues[0];
  const trouble = !(Number(percent) > 0 && Number(percent) <= 100) ? "The chance must be above 0 and up to 100 %." : times && !(Number.isInteger(Number(times)) && Number(times) >= 1) ? "How often must be a whole number from 1." : kind === "slow" && !(Number.isInteger(Number(ms)) && Number(ms) >= 1 && !(Number(ms) > most)) ? `The delay must be from 1 to ${count(most ?? 1)} milliseconds.` : null;
  const call = { path: "faults/add", body: { queue: chosen, kind, percent: Number(percent), ...(times && { times: Number(times) }), ...(kind === "slow" && { ms: Number(ms) }) } };
  const add = async (event) => {
    event.preventDefault();
    if (trouble || busy || !chosen || whyNot()) return;
    setBusy(true);
    await act(call, () => `From the next batch of ${chosen} on: ${FAULTS[kind]}.`);
    setBusy(false);
    reload();
  };
  const remove = async (rule) => {
    await act({ path: "faults/remove", body: { id: rule.id } }, () => "The fault is gone.");
    reload();
  };
  return html`<div class="page">
    <div class="page-head"><h1>Faults</h1><span class="soft small">on purpose, until they are taken away or the session ends; no message is lost</span></div>
    ${error && html`<div class="note bad">${error.message}</div>`}
    ${data && !queues.length ? html`<div class="panel"><div class="empty"><strong>This session consumes no queue</strong><span>A fault strikes a consumer. Name one in <code>queues.consumers</code> of the config.</span></div></div>`
      : html`<section class="panel" aria-label="New fault"><header><h2>New fault</h2></header><form class="body stack" onSubmit=${add}>
        <div class="form-row">
          <label class="field"><span>Queue</span><select class="input" value=${chosen} onChange=${(e) => setQueue(e.target.value)}>${queues.map((q) => html`<option key=${q} value=${q}>${q}</option>`)}</select></label>
          <label class="field"><span>What happens</span><select class="input" value=${kind} onChange=${(e) => setKind(e.target.value)}>${Object.entries(FAULTS).map(([k, label]) => html`<option key=${k} value=${k}>${label}</option>`)}</select></label>
          <label class="field"><span>Chance, %</span><input class="input" inputmode="decimal" value=${percent} onInput=${(e) => setPercent(e.target.value)} /></label>
          <label class="field"><span>How often</span><input class="input" inputmode="numeric" placeholder="until taken away" value=${times} onInput=${(e) => setTimes(e.target.value)} /></label>
          ${kind === "slow" && html`<label class="field"><span>Milliseconds</span><input class="input" inputmode="numeric" value=${ms} onInput=${(e) => setMs(e.target.value)} /></label>`}
        </div>
        <p class="soft small">${MEANS[kind]}</p>
        <div class="btns"><button type="submit" class="btn solid" disabled=${!!trouble || busy || !chosen || !!whyNot()} title=${whyNot()}><${Icon} name="warn" size=${14} />Set the fault</button><button type="button" class="btn quiet" disabled=${!!trouble || !chosen} onClick=${(event) => copyAs(event.currentTarget, call)}>Copy as…</button><span class="small bad" role="alert">${trouble}</span></div>
      </form></section>`}
    ${data?.faults.length > 0 && html`<section class="panel" aria-label="In force"><header><h2>In force</h2></header>
      <ul class="state-list">${data.faults.map((f) => html`<li key=${f.id}><span class="fault-what"><b>${FAULTS[f.kind]}</b>${f.ms ? ` by ${count(f.ms)} ms` : ""} <span class="soft">of</span> <a class="tag" href=${href(["queue", f.queue])}>${f.queue}</a></span>
        <span class="soft small nowrap">${f.percent} %${f.left !== null ? `, ${plural(f.left, "time")} left` : ""}</span><span class="small nowrap">struck <b>${count(f.struck)}×</b></span>
        <button type="button" class="btn small" disabled=${!!whyNot()} title=${whyNot()} onClick=${() => remove(f)} onContextMenu=${(e) => (e.preventDefault(), copyAs(e.currentTarget, { path: "faults/remove", body: { id: f.id } }))}><${Icon} name="x" size=${13} />Take away</button></li>`)}</ul></section>`}
  </div>`;
}
