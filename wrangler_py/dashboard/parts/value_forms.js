/** Write a value to KV or R2, and delete some. */
import { html, useState } from "../ui.js";
import { Dialog, openDialog } from "./floating.js";
import { act, copyAs, whyNot } from "../actions.js";
import { bytes, plural } from "../format.js";
import { useLimits } from "../limits.js";

/**
 * @param {"kv" | "r2"} kind @param {string} resource the id of the namespace, or the name of the bucket
 * @param {{key?: string, text?: string, more?: string, ttl?: number}} [from] what to edit; `more`: metadata (KV), content type (R2)
 * @param {(key: string) => void} [after]
 */
export function openPut(kind, resource, from = {}, after = () => {}) {
  openDialog(({ close }) => html`<${PutForm} kind=${kind} resource=${resource} from=${from} close=${close} after=${after} />`);
}

/** @param {any} props */
function PutForm({ kind, resource, from, close, after }) {
  const [key, setKey] = useState(from.key ?? "");
  const [text, setText] = useState(from.text ?? "");
  const [more, setMore] = useState(from.more ?? "");
  const [ttl, setTtl] = useState(from.ttl ? String(from.ttl) : "");
  const [busy, setBusy] = useState(false);
  const kv = kind === "kv";
  const { api_value_bytes: most } = useLimits(); // larger values are written on the command line, from a file
  const size = new TextEncoder().encode(text).length;
  const trouble = !key ? "The key is missing." : size > most ? `Larger than ${bytes(most)}: write it on the command line, from a file.` : ttl && !/^\d+$/.test(ttl) ? "The time to live must be whole seconds." : null;
  const call = kv
    ? { path: "state/kv/put", body: { namespace: resource, key, text, ...(ttl && { expirationTtl: Number(ttl) }), ...(more && { metadata: more }) } }
    : { path: "state/r2/put", body: { bucket: resource, key, text, ...(more && { contentType: more }) } };
  const submit = async () => {
    if (trouble || busy || whyNot()) return;
    setBusy(true);
    const answer = await act(call, () => `${key} written.`);
    setBusy(false);
    if (!answer) return;
    close();
    after(key);
  };
  return html`<${Dialog} title=${from.key ? html`Edit <code>${from.key}</code>` : kv ? "Write a key" : "Store an object"} wide close=${close} onSubmit=${submit}
    footer=${html`<button type="button" class="btn quiet" disabled=${!!trouble} onClick=${(event) => copyAs(event.currentTarget, call)}>Copy as…</button><span class="grow small bad" role="alert">${key || text ? trouble : ""}</span>
      <button type="button" class="btn" onClick=${close}>Cancel</button><button type="submit" class="btn solid" disabled=${!!trouble || busy || !!whyNot()} title=${whyNot()}>Write <kbd>Ctrl ⏎</kbd></button>`}>
    <label class="field"><span>Key</span><input class="input mono" value=${key} autofocus=${!from.key} spellcheck=${false} autocomplete="off" onInput=${(event) => setKey(event.target.value)} /></label>
    <label class="field"><span>Value</span><textarea class="input mono" rows="10" spellcheck=${false} value=${text} autofocus=${!!from.key} onInput=${(event) => setText(event.target.value)}></textarea><small>${bytes(size)}</small></label>
    <div class="form-row">${kv && html`<label class="field"><span>Time to live in seconds</span><input class="input" inputmode="numeric" placeholder="for ever" value=${ttl} onInput=${(event) => setTtl(event.target.value)} /></label>`}
      <label class="field"><span>${kv ? "Metadata, as JSON" : "Content type"}</span><input class="input mono" value=${more} placeholder=${kv ? "none" : "application/octet-stream"} onInput=${(event) => setMore(event.target.value)} /></label></div>
  </${Dialog}>`;
}

/** @param {"kv" | "r2"} kind @param {string} resource @param {string[]} keys @param {() => void} [after] */
export function openDelete(kind, resource, keys, after = () => {}) {
  const call = { path: `state/${kind}/delete`, body: { ...(kind === "kv" ? { namespace: resource } : { bucket: resource }), keys } };
  const view = ({ close }) => {
    const submit = async () => {
      if (whyNot()) return;
      close();
      // First away from what is no more: it would be asked for again.
      await act(call, () => (after(), keys.length === 1 ? `${keys[0]} deleted.` : `${plural(keys.length, "key")} deleted.`));
    };
    return html`<${Dialog} title=${keys.length === 1 ? html`Delete <code>${keys[0]}</code>?` : `Delete ${plural(keys.length, "key")}?`} close=${close} onSubmit=${submit}
      footer=${html`<button type="button" class="btn quiet" onClick=${(event) => copyAs(event.currentTarget, call)}>Copy as…</button><span class="grow"></span><button type="button" class="btn" onClick=${close}>Cancel</button><button type="submit" class="btn danger" autofocus disabled=${!!whyNot()} title=${whyNot()}>Delete</button>`}>
      <p>It is gone for the workers at once, and cannot be taken back.</p></${Dialog}>`;
  };
  openDialog(view);
}
