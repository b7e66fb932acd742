/** Send dead letters back to where they died, all at once or so many a second. */
import { html, useState } from "../ui.js";
import { Dialog, openDialog, toast } from "./floating.js";
import { act, copyAs, redrive, redriveCall, whyNot } from "../actions.js";
import { get } from "../api.js";
import { count, plural } from "../format.js";

/** @param {string} dlq @param {import("../actions.js").Which} which @param {number} number @param {() => void} [after] */
export function openRedrive(dlq, which, number, after = () => {}) {
  openDialog(({ close }) => html`<${RedriveForm} dlq=${dlq} which=${which} number=${number} close=${close} after=${after} />`);
}

/** @param {{dlq: string, which: import("../actions.js").Which, number: number, close: () => void, after: () => void}} props */
function RedriveForm({ dlq, which, number, close, after }) {
  const [rate, setRate] = useState("");
  const limit = rate.trim() === "" ? 0 : Number(rate);
  const trouble = limit !== 0 && !(limit > 0 && limit <= 10000) ? "The rate must be from 1 to 10,000 a second." : null;
  const submit = () => {
    if (trouble || whyNot()) return;
    close();
    after();
    if (!limit) redrive(dlq, which);
    else throttled(dlq, which, limit);
  };
  const call = redriveCall(dlq, which);
  return html`<${Dialog} title=${`Redrive ${plural(number, "dead letter")}`} close=${close} onSubmit=${submit}
    footer=${html`<button type="button" class="btn quiet" onClick=${(event) => copyAs(event.currentTarget, call)}>Copy as…</button><span class="grow small bad" role="alert">${trouble}</span>
      <button type="button" class="btn" onClick=${close}>Cancel</button><button type="submit" class="btn solid" autofocus disabled=${!!trouble || !!whyNot()}>Redrive</button>`}>
    <p>Each goes back to the queue in which its retries ran out, under its own id, with its attempts counted anew.</p>
    <label class="field"><span>At most so many a second</span><input class="input" inputmode="numeric" placeholder="all at once" value=${rate} onInput=${(event) => setRate(event.target.value)} /><small>A slow redrive does not flood a service that has just come back.</small></label>
  </${Dialog}>`;
}

/** A redrive in steps of a second, with a way to stop it. @param {string} dlq @param {import("../actions.js").Which} which @param {number} rate */
async function throttled(dlq, which, rate) {
  let ids = which.ids ? [...which.ids] : [];
  let stopped = false;
  const told = toast("Redriving…", { ms: 3600e3, action: { label: "Stop", run: () => void (stopped = true) } });
  try {
    if (!which.ids) {
      let cursor = null;
      do {
        const page = await get("messages", { queue: dlq, q: which.q, state: "dead", cursor, limit: 1000, order: "oldest" });
        ids.push(...page.rows.map((r) => r.id));
        cursor = page.cursor;
      } while (cursor && !stopped);
    }
    const all = ids.length;
    const step = Math.max(1, Math.round(rate));
    let done = 0;
    for (let i = 0; i < all && !stopped; i += step) {
      const began = performance.now();
      const answer = await act({ path: `queues/${encodeURIComponent(dlq)}/redrive`, body: { ids: ids.slice(i, i + step) } }, () => null);
      if (!answer) break;
      done += answer.count;
      told.update(`Redriven ${count(done)} of ${count(all)}`);
      if (i + step < all) await new Promise((go) => setTimeout(go, Math.max(0, 1000 - (performance.now() - began))));
    }
    told.close();
    toast(`${plural(done, "dead letter")} redriven${stopped ? "; stopped by you" : ""}.`);
  } catch (error) {
    told.close();
    toast(/** @type {Error} */ (error).message, { bad: true });
  }
}
