/** The instances of one workflow, and the steps of one of them. */
import { html, useState } from "../../ui.js";
import { get } from "../../api.js";
import { useQuery } from "../../live.js";
import { useKeys } from "../../keys.js";
import { href, navigate } from "../../router.js";
import { fullTime, plural, span } from "../../format.js";
import { act, copyAs, whyNot } from "../../actions.js";
import { BodyView } from "../../parts/body_view.js";
import { Icon, Shape } from "../../parts/icons.js";
import { Ago } from "../../parts/times.js";
import { VList } from "../../parts/vlist.js";
import { AFTER, Head } from "../state.js";

const SHAPES = { complete: "acked", errored: "dead", terminated: "dead", running: "in_flight", waiting: "delayed", paused: "paused", queued: "ready", waitingForPause: "in_flight" };
const STEP_SHAPES = { done: "acked", failed: "dead", retrying: "retrying", running: "in_flight", waiting: "delayed" };
const ms = (iso) => (iso ? Date.parse(iso) : NaN);

/** @param {{status: string}} props */
const Status = ({ status }) => html`<span class=${"state s-" + (SHAPES[status] ?? "other")}><${Shape} state=${SHAPES[status] ?? "other"} />${status}</span>`;

/** @param {{parts: string[]}} props */
export default function Workflows({ parts }) {
  const [, , workflow, id] = parts;
  return id ? html`<${Instance} workflow=${workflow} id=${id} />` : html`<${List} workflow=${workflow} />`;
}

/** @param {{workflow: string}} props */
function List({ workflow }) {
  const { data, error } = useQuery((signal) => get("state/workflows/instances", { workflow }, signal), [workflow], AFTER);
  const [cursor, setCursor] = useState(-1);
  const rows = data?.instances ?? [];
  const open = (row) => row && navigate(href(["state", "workflows", workflow, row.id]));
  useKeys([
    { keys: "j, ArrowDown", label: "Next instance", group: "List", run: () => setCursor(Math.min(rows.length - 1, cursor + 1)) },
    { keys: "k, ArrowUp", label: "Instance before", group: "List", run: () => setCursor(Math.max(0, cursor - 1)) },
    { keys: "Enter, o", label: "Open the instance", group: "List", run: () => open(rows[cursor]) },
  ]);
  return html`<div class="page fixed"><${Head} kind="workflows" name=${workflow}><span class="soft">${data ? plural(rows.length, "instance") : ""}</span></${Head}>
    ${error && html`<div class="note bad">${error.message}</div>`}
    <div class="panel fill mlist-panel">${data && !rows.length ? html`<div class="empty"><strong>No instances yet</strong><span>Start one: <code>wpy workflows trigger ${workflow}</code></span></div>`
      : html`<${VList} label="Instances" className="kv" count=${rows.length} rowHeight=${40} keyOf=${(i) => rows[i].id} cursor=${cursor} onRow=${(i) => open(rows[i])}
          row=${(i) => html`<div role="gridcell" class="w-status"><${Status} status=${rows[i].status} /></div><div role="gridcell" class="grow cut mono"><a href=${href(["state", "workflows", workflow, rows[i].id])} tabindex="-1">${rows[i].id}</a></div><div role="gridcell" class="nowrap soft small"><${Ago} ms=${ms(rows[i].created_on)} /></div>`} />`}</div></div>`;
}

/** @param {{workflow: string, id: string}} props */
function Instance({ workflow, id }) {
  const { data: w, error } = useQuery((signal) => get("state/workflows/instance", { workflow, id }, signal), [workflow, id], { ...AFTER, every: 2000 });
  useKeys([{ keys: "u, Escape", label: "Back", group: "List", run: () => navigate(href(["state", "workflows", workflow])) }]);
  const call = (verb) => ({ path: `workflows/${verb}`, body: { workflow, id } });
  const over = ["complete", "errored", "terminated"].includes(w?.status);
  const verbs = [!over && (w?.status === "paused" ? ["resume", "Resume", "play"] : ["pause", "Pause", "pause"]), !over && ["terminate", "Terminate", "x"], ["restart", "Restart", "replay"]].filter(Boolean);
  const value = (name, given) => given !== null && given !== undefined && html`<dt>${name}</dt><dd><${BodyView} body=${{ contentType: "json", text: JSON.stringify(given), base64: null }} /></dd>`;
  return html`<div class="page">
    <${Head} kind="workflows" of=${html`<a class="crumbs" href=${href(["state", "workflows", workflow])}>${workflow}</a>`} name=${html`<span class="mono">${id}</span>`}>${w && html`<${Status} status=${w.status} />`}
      <div class="btns">${w && verbs.map(([verb, label, icon]) => html`<button type="button" class="btn" key=${verb} disabled=${!!whyNot()} title=${whyNot()} onClick=${() => act(call(verb), (a) => `${id}: ${a.status}.`)}><${Icon} name=${icon} size=${14} />${label}</button>`)}
        <button type="button" class="btn" onClick=${(event) => copyAs(event.currentTarget, verbs.map(([verb, label]) => ({ label, call: call(verb) })))}><${Icon} name="code" size=${14} />Copy as</button></div></${Head}>
    ${error && html`<div class="note bad">${error.message}</div>`}
    ${w && html`<section class="panel" aria-label="The instance"><div class="body"><dl class="facts"><dt>Started</dt><dd>${fullTime(ms(w.start))}</dd>${w.end && html`<dt>Ended</dt><dd>${fullTime(ms(w.end))} <span class="soft">${span(ms(w.end) - ms(w.start))}</span></dd>`}<dt>By</dt><dd>${w.trigger.source}</dd>${value("Params", w.params)}${value("Output", w.output)}</dl>
      ${w.error && html`<pre class="block wrap trace" tabindex="0">${w.error.name}: ${w.error.message}</pre>`}</div></section>
    <section class="panel" aria-label="Steps"><header><h2>${plural(w.steps.length, "step")}</h2></header>
      <ol class="step-list">${w.steps.map((s) => html`<li key=${s.name}><${Step} s=${s} /></li>`)}</ol></section>`}
  </div>`;
}

/** @param {{s: any}} props */
function Step({ s }) {
  const failed = (s.attempts ?? []).filter((a) => a.success === false);
  return html`<div class="row wrap"><span class=${"state s-" + (STEP_SHAPES[s.state] ?? "other")}><${Shape} state=${STEP_SHAPES[s.state] ?? "other"} />${s.state}</span><b>${s.name}</b><span class="tag">${s.type}</span>
      <span class="soft small">${s.type === "sleep" ? html`until ${fullTime(ms(s.end))}` : s.end ? span(ms(s.end) - ms(s.start)) : html`since <${Ago} ms=${ms(s.start)} />`}${s.event_type ? ` · waits for ${s.event_type}` : ""}${s.next_attempt ? html` · next attempt <${Ago} ms=${ms(s.next_attempt)} />` : ""}</span></div>
    ${failed.map((a) => html`<pre class="block wrap trace small" key=${a.start} tabindex="0">${a.error?.name}: ${a.error?.message}</pre>`)}
    ${s.output !== null && s.output !== undefined && html`<code class="soft step-out">${JSON.stringify(s.output)?.slice(0, 400)}</code>`}`;
}
