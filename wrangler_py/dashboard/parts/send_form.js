/** Send messages, new ones or a message edited. */
import { html, useState } from "../ui.js";
import { Dialog, openDialog } from "./floating.js";
import { act, copyAs, whyNot } from "../actions.js";
import { parseExact } from "../exact_json.js";
import { bytes, count, plural } from "../format.js";
import { useLimits } from "../limits.js";
import { href, navigate } from "../router.js";

const KEY = "wpy.sent.";

/** @param {string} queue @param {{text?: string, contentType?: string, replayOf?: string, queues?: string[]}} [from] a message to edit */
export function openSend(queue, from = {}) {
  openDialog(({ close }) => html`<${SendForm} queue=${queue} from=${from} close=${close} />`);
}

/** @param {{queue: string, from: {text?: string, contentType?: string, replayOf?: string, queues?: string[]}, close: () => void}} props */
function SendForm({ queue, from, close }) {
  const [type, setType] = useState(from.contentType ?? "json");
  const [text, setText] = useState(from.text ?? localStorage.getItem(KEY + queue) ?? '{\n  "hello": "world"\n}');
  const [number, setNumber] = useState("1");
  const [delay, setDelay] = useState("");
  const [to, setTo] = useState(queue);
  const [busy, setBusy] = useState(false);
  const base64 = type === "bytes";
  const { message_bytes: most, api_send_count: mostSent, delay_seconds: mostDelay } = useLimits();
  let trouble = null;
  const times = /^\d+$/.test(number) ? Number(number) : NaN;
  const seconds = delay.trim() === "" ? undefined : Number(delay);
  const filled = times > 1 ? text.replaceAll("{{i}}", "0") : text;
  const size = new TextEncoder().encode(text).length;
  if (type === "json") {
    try {
      parseExact(filled);
    } catch (error) {
      trouble = `No JSON: ${/** @type {Error} */ (error).message}.`;
    }
  }
  if (!trouble && base64 && !/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(text)) trouble = "No base64.";
  if (!trouble && size > most * (base64 ? 4 / 3 : 1)) trouble = `Larger than a message may be (${bytes(most)}).`;
  if (!trouble && (!(times >= 1) || times > mostSent)) trouble = `The count must be a whole number from 1 to ${count(mostSent ?? 1)}.`;
  if (!trouble && seconds !== undefined && (!(Number.isInteger(seconds) && seconds >= 0) || seconds > mostDelay)) trouble = `The delay must be from 0 to ${count(mostDelay ?? 0)} whole seconds.`;
  const body = { ...(base64 ? { base64: text.replace(/\s/g, "") } : { text }), contentType: type, ...(seconds !== undefined && { delaySeconds: seconds }) };
  const call = from.replayOf
    ? { path: "messages/replay", body: { ids: [from.replayOf], ...body, ...(to !== queue && { to }) } }
    : { path: `queues/${encodeURIComponent(queue)}/send`, body: { ...body, ...(times > 1 && { count: times }) } };
  const submit = async () => {
    if (trouble || busy || whyNot()) return;
    setBusy(true);
    if (!from.replayOf) localStorage.setItem(KEY + queue, text.slice(0, 20000));
    const answer = await act(call, (a) => (from.replayOf ? "Replayed with the edited body." : `${plural(a.count, "message")} sent to ${queue}.`));
    setBusy(false);
    if (!answer) return;
    close();
    if (answer.messages?.[0]) navigate(href(["message", answer.messages[0].id]));
  };
  const footer = html`<button type="button" class="btn quiet" disabled=${!!trouble} onClick=${(event) => copyAs(event.currentTarget, call)}>Copy as…</button>
    <span class="grow small bad" role="alert">${trouble}</span>
    <button type="button" class="btn" onClick=${close}>Cancel</button>
    <button type="submit" class="btn solid" disabled=${!!trouble || busy || !!whyNot()} title=${whyNot()}>${from.replayOf ? "Replay" : times > 1 ? `Send ${count(times)}` : "Send"} <kbd>Ctrl ⏎</kbd></button>`;
  return html`<${Dialog} title=${from.replayOf ? "Edit and replay" : `Send to ${queue}`} wide close=${close} onSubmit=${submit} footer=${footer}>
    <label class="field"><span>Body</span>
      <textarea class="input mono" rows="11" autofocus spellcheck=${false} value=${text} aria-invalid=${trouble ? "true" : undefined} onInput=${(event) => setText(event.target.value)}></textarea>
      <small>${bytes(size)}${!from.replayOf ? html`; <code>${"{{i}}"}</code> is the number of the message, from 0, when several are sent` : ""}</small>
    </label>
    <div class="form-row">
      <label class="field"><span>Content type</span><select class="input" value=${type} onChange=${(event) => setType(event.target.value)}>${["json", "text", "bytes", "v8"].map((t) => html`<option value=${t}>${t === "bytes" ? "bytes (base64)" : t}</option>`)}</select></label>
      <label class="field"><span>Delay in seconds</span><input class="input" inputmode="numeric" placeholder="the queue's own" value=${delay} onInput=${(event) => setDelay(event.target.value)} /></label>
      ${from.replayOf
        ? html`<label class="field"><span>To queue</span><input class="input" list="send-queues" value=${to} onInput=${(event) => setTo(event.target.value)} /><datalist id="send-queues">${(from.queues ?? []).map((q) => html`<option value=${q} />`)}</datalist></label>`
        : html`<label class="field"><span>Count</span><input class="input" inputmode="numeric" value=${number} onInput=${(event) => setNumber(event.target.value)} /></label>`}
    </div>
  </${Dialog}>`;
}
