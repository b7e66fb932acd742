/** One KV namespace: its keys, and what stands under one of them. */
import { html, useState } from "../../ui.js";
import { get } from "../../api.js";
import { useQuery } from "../../live.js";
import { usePages } from "../../paging.js";
import { useKeys } from "../../keys.js";
import { setParams } from "../../router.js";
import { plural } from "../../format.js";
import { whyNot } from "../../actions.js";
import { BodyView } from "../../parts/body_view.js";
import { Icon } from "../../parts/icons.js";
import { Ago } from "../../parts/times.js";
import { VList } from "../../parts/vlist.js";
import { openDelete, openPut } from "../../parts/value_forms.js";
import { now } from "../../live.js";
import { AFTER, Head } from "../state.js";

/** @param {{parts: string[], params: URLSearchParams}} props */
export default function Namespace({ parts, params }) {
  const namespace = parts[2];
  const prefix = params.get("prefix") ?? "";
  const picked = params.get("key");
  const [text, setText] = useState(prefix);
  const [over, setOver] = useState(false);
  const list = usePages(
    async ({ cursor, limit }, signal) => {
      const a = await get("state/kv/keys", { namespace, prefix, cursor, limit }, signal);
      return { rows: a.keys.map((k) => ({ ...k, id: k.name })), cursor: a.cursor, total: a.keys.length };
    },
    ["kv", namespace, prefix],
    AFTER,
  );
  list.hold(over);
  const { rows } = list;
  const at = rows.findIndex((r) => r.name === picked);
  const pick = (i) => rows[i] && setParams({ key: rows[i].name });
  useKeys([
    { keys: "j, ArrowDown", label: "Next key", group: "List", run: () => pick(Math.min(rows.length - 1, at + 1)) },
    { keys: "k, ArrowUp", label: "Key before", group: "List", run: () => pick(Math.max(0, at - 1)) },
    { keys: "/", label: "Search", group: "List", run: () => /** @type {HTMLElement} */ (document.querySelector("#kv-prefix")).focus() },
  ]);
  return html`<div class="page fixed">
    <${Head} kind="kv" name=${namespace}>
      <div class="search slim-search"><${Icon} name="search" /><input id="kv-prefix" class="input" aria-label="Keys that begin with" placeholder="Begins with" value=${text} onInput=${(e) => (setText(e.target.value), setParams({ prefix: e.target.value, key: null }))} onKeyDown=${(e) => (e.key === "Escape" || e.key === "Enter") && e.target.blur()} /><kbd aria-hidden="true">/</kbd></div>
      <div class="btns"><button type="button" class="btn" disabled=${!!whyNot()} title=${whyNot()} onClick=${() => openPut("kv", namespace, {}, (key) => setParams({ key }))}><${Icon} name="edit" size=${14} />Write a key…</button></div>
    </${Head}>
    ${list.error && html`<div class="note bad">${list.error.message}</div>`}
    <div class="split fill state-split">
      <div class="panel mlist-panel">${!rows.length && !list.loading
        ? html`<div class="empty"><strong>${prefix ? "No key begins so" : "No keys yet"}</strong><span>They come when a worker calls <code>put()</code>.</span></div>`
        : html`<${VList} label="Keys" className="kv" count=${list.total} rowHeight=${36} keyOf=${(i) => rows[i]?.id ?? i} cursor=${at} resetKey=${prefix} onRow=${pick} onRange=${list.want} onHover=${setOver}
            row=${(i) => rows[i] && html`<div role="gridcell" class="grow cut mono">${rows[i].name}</div><div role="gridcell" class="nowrap soft small">${rows[i].expirationMs !== null && html`expires <${Ago} ms=${rows[i].expirationMs} />`}</div>`} />`}</div>
      <div class="panel">${picked ? html`<${Value} namespace=${namespace} name=${picked} key=${picked} />` : html`<div class="empty"><strong>Choose a key</strong><span>to see what stands under it.</span></div>`}</div>
    </div>
  </div>`;
}

/** @param {{namespace: string, name: string}} props */
function Value({ namespace, name }) {
  const { data: v, error } = useQuery((signal) => get("state/kv/value", { namespace, key: name }, signal), [namespace, name], AFTER);
  if (error) return html`<div class="empty"><strong>${error.message}</strong></div>`;
  if (!v) return null;
  const ttl = v.expirationMs === null ? 0 : Math.max(60, Math.ceil((v.expirationMs - now()) / 1000));
  const editable = v.text !== null && !v.truncated;
  return html`<header><h2 class="mono cut">${v.key}</h2><span class="grow"></span>
      <button type="button" class="btn small" disabled=${!editable || !!whyNot()} title=${whyNot() ?? (editable ? undefined : "No text, or too long to be edited here")} onClick=${() => openPut("kv", namespace, { key: v.key, text: v.text, more: v.metadata ?? "", ttl })}><${Icon} name="edit" size=${14} />Edit…</button>
      <button type="button" class="btn small danger" disabled=${!!whyNot()} title=${whyNot()} onClick=${() => openDelete("kv", namespace, [v.key], () => setParams({ key: null }))}><${Icon} name="trash" size=${14} />Delete…</button></header>
    <div class="body stack">
      ${(v.metadata !== null || v.expirationMs !== null) && html`<dl class="facts">${v.metadata !== null && html`<dt>Metadata</dt><dd class="mono">${v.metadata}</dd>`}${v.expirationMs !== null && html`<dt>Expires</dt><dd><${Ago} ms=${v.expirationMs} /></dd>`}</dl>`}
      <${BodyView} body=${{ contentType: "", ...v }} bytes=${v.size} />
      ${v.truncated && html`<div class="note">The first 128,000 of ${plural(v.size, "byte")}. <code>wpy kv key get</code> gives all of them.</div>`}
    </div>`;
}
