/** Run a cron for a time of your choice, or once for every slot of a stretch. */
import { html, useState } from "../ui.js";
import { post } from "../api.js";
import { now } from "../live.js";
import { act, copyAs, whyNot } from "../actions.js";
import { Dialog, openDialog, toast } from "./floating.js";
import { dayTime, fullTime, plural, span } from "../format.js";

/** A time as text fields hold it, in UTC. @param {number} ms */
export const asText = (ms) => new Date(ms).toISOString().slice(0, 19);

/** @param {string} text a date and time in UTC, or milliseconds since 1970 @returns {number} NaN for what is none */
export function asMs(text) {
  const t = text.trim();
  if (/^\d{11,}$/.test(t)) return Number(t);
  const m = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(:\d{2}(?:\.\d+)?)?)?(Z|[+-]\d{2}:?\d{2})?$/.exec(t);
  return m ? Date.parse(`${m[1]}T${m[2] ?? "00:00"}${m[3] ?? ":00"}${m[4] ?? "Z"}`) : NaN;
}

/** @param {any} cron */
export const openRun = (cron) => openDialog(({ close }) => html`<${RunForm} cron=${cron} close=${close} />`);
/** @param {any} cron */
export const openBackfill = (cron) => openDialog(({ close }) => html`<${BackfillForm} cron=${cron} close=${close} />`);

/** @param {any} run */
export const runWords = (run) => (run.outcome === "ok" ? `The cron ran in ${span(run.ms ?? run.durationMs ?? 0)}.` : `The cron failed: ${run.error?.split("\n").at(-1) ?? run.outcome}`);

/** @param {{cron: any, close: () => void}} props */
function RunForm({ cron, close }) {
  const slots = (cron.next ?? []).slice(0, 3);
  const [text, setText] = useState(asText(Math.floor(now() / 60000) * 60000));
  const [busy, setBusy] = useState(false);
  const ms = asMs(text);
  const call = { path: "crons/trigger", body: { cron: cron.cron, worker: cron.worker, timeMs: ms } };
  const submit = async () => {
    if (Number.isNaN(ms) || busy || whyNot()) return;
    setBusy(true);
    const run = await act(call, () => null);
    setBusy(false);
    if (!run) return;
    close();
    const r = run.run && typeof run.run === "object" ? run.run : run;
    toast(runWords(r), { bad: r.outcome !== "ok" });
  };
  return html`<${Dialog} title=${html`Run <code>${cron.cron}</code>`} close=${close} onSubmit=${submit}
    footer=${html`<button type="button" class="btn quiet" disabled=${Number.isNaN(ms)} onClick=${(event) => copyAs(event.currentTarget, call)}>Copy as…</button><span class="grow"></span>
      <button type="button" class="btn" onClick=${close}>Cancel</button><button type="submit" class="btn solid" disabled=${Number.isNaN(ms) || busy || !!whyNot()} title=${whyNot()}>${busy ? "Running…" : "Run"}</button>`}>
    <p class="soft">${cron.words} · worker ${cron.worker}</p>
    <label class="field"><span>controller.scheduledTime, UTC</span><input class="input mono" autofocus value=${text} aria-invalid=${Number.isNaN(ms) ? "true" : undefined} onInput=${(event) => setText(event.target.value)} spellcheck=${false} autocomplete="off" />
      <small>${Number.isNaN(ms) ? html`<span class="bad">No date and time: 2026-03-29T02:00, or milliseconds</span>` : fullTime(ms)}</small></label>
    <div class="btns"><button type="button" class="btn small" onClick=${() => setText(asText(Math.floor(now() / 60000) * 60000))}>This minute</button>
      ${slots.map((t) => html`<button type="button" class="btn small" onClick=${() => setText(asText(t))}>${dayTime(t, "utc")}</button>`)}</div>
  </${Dialog}>`;
}

/** @param {{cron: any, close: () => void}} props */
function BackfillForm({ cron, close }) {
  const end = Math.floor(now() / 60000) * 60000;
  const [from, setFrom] = useState(asText(end - 3600e3));
  const [to, setTo] = useState(asText(end));
  const [plan, setPlan] = useState(/** @type {number[] | null} */ (null));
  const [trouble, setTrouble] = useState(/** @type {string | null} */ (null));
  const [busy, setBusy] = useState(false);
  const [fromMs, toMs] = [asMs(from), asMs(to)];
  const wrong = Number.isNaN(fromMs) || Number.isNaN(toMs) ? "Both must be dates and times, such as 2026-03-29T02:00." : fromMs > toMs ? "It ends before it begins." : null;
  const call = { path: "crons/backfill", body: { cron: cron.cron, worker: cron.worker, fromMs, toMs } };
  const look = async () => {
    setTrouble(null);
    try {
      const a = await post(call.path, { ...call.body, dryRun: true });
      setPlan(a.times ?? []);
    } catch (error) {
      setTrouble(/** @type {Error} */ (error).message);
    }
  };
  const submit = async () => {
    if (wrong || busy || whyNot()) return;
    if (!plan) return look();
    setBusy(true);
    const a = await act(call, () => null);
    setBusy(false);
    if (!a) return;
    close();
    const failed = (a.runs ?? []).filter((r) => r.outcome !== "ok").length;
    toast(`${plural((a.runs ?? a.times ?? []).length, "run")}${failed ? `, ${failed} failed` : ", all ok"}.`, { bad: failed > 0 });
  };
  const change = (set) => (event) => (set(event.target.value), setPlan(null));
  return html`<${Dialog} title=${html`Backfill <code>${cron.cron}</code>`} close=${close} onSubmit=${submit}
    footer=${html`<button type="button" class="btn quiet" disabled=${!!wrong} onClick=${(event) => copyAs(event.currentTarget, call)}>Copy as…</button><span class="grow small bad" role="alert">${wrong ?? trouble}</span>
      <button type="button" class="btn" onClick=${close}>Cancel</button><button type="submit" class="btn solid" disabled=${!!wrong || busy || !!whyNot() || plan?.length === 0}>${busy ? "Running…" : plan ? `Run ${plan.length}` : "Look"}</button>`}>
    <p class="soft">Runs once for every time at which it would have fired, in order, each with its own scheduledTime.</p>
    <div class="form-row"><label class="field"><span>From, UTC</span><input class="input mono" autofocus value=${from} onInput=${change(setFrom)} /></label><label class="field"><span>To, UTC</span><input class="input mono" value=${to} onInput=${change(setTo)} /></label></div>
    ${plan && html`<div class="note"><span><b>${plural(plan.length, "run")}</b>${plan.length > 0 && html`: ${plan.slice(0, 4).map((t) => dayTime(t, "utc")).join(", ")}${plan.length > 4 ? `, … ${dayTime(plan.at(-1), "utc")}` : ""}`}</span></div>`}
  </${Dialog}>`;
}
