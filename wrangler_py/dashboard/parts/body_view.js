/** The body of a message: as a tree, as text, as bytes. What is in it is only ever shown as text. */
import { html, cls, useMemo, useState } from "../ui.js";
import { parseExact, printExact } from "../exact_json.js";
import { JsonTree } from "./json_tree.js";
import { VList } from "./vlist.js";
import { Icon } from "./icons.js";
import { toast } from "./floating.js";
import { bytes as size } from "../format.js";

/** @param {string} base64 */
export function fromBase64(base64) {
  const binary = atob(base64);
  const out = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) out[i] = binary.charCodeAt(i);
  return out;
}

const hex = Array.from({ length: 256 }, (_, n) => n.toString(16).padStart(2, "0"));

/** @param {{bytes: Uint8Array}} props */
export function HexView({ bytes }) {
  const lines = Math.ceil(bytes.length / 16);
  const row = (i) => {
    const part = bytes.subarray(i * 16, i * 16 + 16);
    let left = "";
    let text = "";
    for (let n = 0; n < 16; n++) {
      left += n < part.length ? hex[part[n]] + (n === 7 ? "  " : " ") : n === 7 ? "    " : "   ";
      if (n < part.length) text += part[n] >= 0x20 && part[n] < 0x7f ? String.fromCharCode(part[n]) : "·";
    }
    return html`<div role="gridcell" class="hexline"><span class="soft">${(i * 16).toString(16).padStart(6, "0")}</span>  ${left} <span class="hextext">${text}</span></div>`;
  };
  return html`<div class="jtree" style=${{ height: Math.min(lines, 26) * 20 + 8 + "px" }}>
    <${VList} count=${lines} rowHeight=${20} label="Bytes of the body" keyOf=${(i) => i} row=${row} />
  </div>`;
}

/**
 * @param {{body: {contentType: string, text: string | null, base64: string | null, truncated?: boolean} | null, bytes?: number}} props
 */
export function BodyView({ body, bytes: length }) {
  const [wanted, setWanted] = useState(/** @type {string | null} */ (null));
  const [wrap, setWrap] = useState(true);
  const known = useMemo(() => {
    if (!body) return null;
    const raw = body.base64 !== null && body.base64 !== undefined ? fromBase64(body.base64) : null;
    let text = body.text ?? null;
    if (text === null && raw) {
      try {
        text = new TextDecoder("utf-8", { fatal: true }).decode(raw);
      } catch {
        text = null; // no text: the bytes are shown
      }
    }
    let tree = null;
    let trouble = null;
    if (text !== null) {
      try {
        tree = parseExact(text);
      } catch (error) {
        trouble = /** @type {Error} */ (error).message;
      }
    }
    return { text, tree, trouble, bytes: raw ?? new TextEncoder().encode(text ?? "") };
  }, [body?.text, body?.base64]);
  if (!body || !known) return html`<div class="note">The record no longer has this body.</div>`;
  const views = [known.tree && ["tree", "Tree"], known.text !== null && ["text", "Text"], ["hex", "Bytes"]].filter(Boolean);
  const preferred = body.contentType === "json" && known.tree ? "tree" : known.text !== null ? (known.tree?.items ? "tree" : "text") : "hex";
  const view = views.some(([id]) => id === wanted) ? wanted : preferred;
  const copy = async () => {
    await navigator.clipboard.writeText(view === "hex" ? [...known.bytes].map((b) => hex[b]).join("") : known.text);
    toast(view === "hex" ? "Copied the bytes as hex." : "Copied the body.");
  };
  return html`<div class="stack tight">
    <div class="row">
      <div class="seg" role="tablist" aria-label="How the body is shown">
        ${views.map(([id, label]) => html`<button type="button" role="tab" aria-selected=${String(view === id)} onClick=${() => setWanted(id)}>${label}</button>`)}
      </div>
      <span class="soft small cut">${body.contentType} · ${size(length ?? known.bytes.length)}${body.truncated ? " · cut off" : ""}</span>
      <span class="grow"></span>
      ${view === "text" && html`<label class="row small soft"><input type="checkbox" class="check" checked=${wrap} onChange=${() => setWrap(!wrap)} /> wrap</label>`}
      <button type="button" class="btn small quiet" onClick=${copy}><${Icon} name="copy" size=${14} />Copy</button>
    </div>
    ${body.contentType === "json" && known.trouble && html`<div class="note amber">This is no JSON: ${known.trouble}.</div>`}
    ${view === "tree" && html`<${JsonTree} root=${known.tree} label="The body as a tree" key=${body.text} />`}
    ${view === "text" && html`<pre class=${cls("block", wrap && "wrap")} tabindex="0" aria-label="The body as text">${known.tree?.items ? printExact(known.tree) : known.text}</pre>`}
    ${view === "hex" && html`<${HexView} bytes=${known.bytes} />`}
  </div>`;
}
