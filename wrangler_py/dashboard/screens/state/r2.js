/** One R2 bucket: its objects, as folders, and one of them. */
import { html, useState } from "../../ui.js";
import { get } from "../../api.js";
import { useQuery } from "../../live.js";
import { usePages } from "../../paging.js";
import { useKeys } from "../../keys.js";
import { setParams } from "../../router.js";
import { bytes, fullTime, plural } from "../../format.js";
import { whyNot } from "../../actions.js";
import { BodyView } from "../../parts/body_view.js";
import { Icon } from "../../parts/icons.js";
import { Ago } from "../../parts/times.js";
import { VList } from "../../parts/vlist.js";
import { openDelete, openPut } from "../../parts/value_forms.js";
import { AFTER, Head } from "../state.js";

/** @param {{parts: string[], params: URLSearchParams}} props */
export default function Bucket({ parts, params }) {
  const bucket = parts[2];
  const prefix = params.get("prefix") ?? "";
  const picked = params.get("key");
  const [text, setText] = useState(prefix);
  const [over, setOver] = useState(false);
  const list = usePages(
    async ({ cursor, limit }, signal) => {
      const a = await get("state/r2/objects", { bucket, prefix, folders: 1, cursor, limit }, signal);
      const rows = [...a.folders.map((f) => ({ id: f, folder: true })), ...a.objects.map((o) => ({ ...o, id: o.key }))];
      return { rows, cursor: a.cursor, total: rows.length };
    },
    ["r2", bucket, prefix],
    AFTER,
  );
  list.hold(over);
  const { rows } = list;
  const at = rows.findIndex((r) => r.id === picked);
  const go = (next) => (setText(next), setParams({ prefix: next, key: null }, { replace: false }));
  const open = (row) => row && (row.folder ? go(row.id) : setParams({ key: row.id }));
  useKeys([
    { keys: "j, ArrowDown", label: "Next object", group: "List", run: () => rows[at + 1] && setParams({ key: rows[at + 1].id }) },
    { keys: "k, ArrowUp", label: "Object before", group: "List", run: () => rows[at - 1] && setParams({ key: rows[at - 1].id }) },
    { keys: "Enter, o", label: "Open the folder", group: "List", run: () => open(rows[at]) },
    { keys: "u", label: "Folder above", group: "List", run: () => prefix && go(prefix.slice(0, prefix.replace(/\/$/, "").lastIndexOf("/") + 1)) },
    { keys: "/", label: "Search", group: "List", run: () => /** @type {HTMLElement} */ (document.querySelector("#r2-prefix")).focus() },
  ]);
  const steps = prefix.split("/").slice(0, -1);
  return html`<div class="page fixed">
    <${Head} kind="r2" name=${html`${steps.length ? html`<button type="button" class="link" onClick=${() => go("")}>${bucket}</button>` : bucket}${steps.map((s, i) => html` <span class="crumbs">/</span> <button type="button" class="link" key=${i} onClick=${() => go(steps.slice(0, i + 1).join("/") + "/")}>${s}</button>`)}`}>
      <div class="search slim-search"><${Icon} name="search" /><input id="r2-prefix" class="input" aria-label="Keys that begin with" placeholder="Begins with" value=${text} onInput=${(e) => (setText(e.target.value), setParams({ prefix: e.target.value, key: null }))} onKeyDown=${(e) => (e.key === "Escape" || e.key === "Enter") && e.target.blur()} /><kbd aria-hidden="true">/</kbd></div>
      <div class="btns"><button type="button" class="btn" disabled=${!!whyNot()} title=${whyNot()} onClick=${() => openPut("r2", bucket, {}, (key) => setParams({ key }))}><${Icon} name="edit" size=${14} />Store an object…</button></div>
    </${Head}>
    ${list.error && html`<div class="note bad">${list.error.message}</div>`}
    <div class="split fill state-split">
      <div class="panel mlist-panel">${!rows.length && !list.loading
        ? html`<div class="empty"><strong>${prefix ? "No object begins so" : "No objects yet"}</strong><span>They come when a worker calls <code>put()</code>.</span></div>`
        : html`<${VList} label="Objects" className="kv" count=${list.total} rowHeight=${36} keyOf=${(i) => rows[i]?.id ?? i} cursor=${at} resetKey=${prefix} onRow=${(i) => open(rows[i])} onRange=${list.want} onHover=${setOver}
            row=${(i) => rows[i] && (rows[i].folder
              ? html`<div role="gridcell" class="grow cut mono"><${Icon} name="rightward" size=${12} /> ${rows[i].id.slice(prefix.lastIndexOf("/") + 1)}</div>`
              : html`<div role="gridcell" class="grow cut mono">${rows[i].key.slice(prefix.lastIndexOf("/") + 1)}</div><div role="gridcell" class="nowrap soft small">${bytes(rows[i].size)}</div><div role="gridcell" class="nowrap soft small hide-narrow"><${Ago} ms=${rows[i].uploadedMs} /></div>`)} />`}</div>
      <div class="panel">${picked && !rows[at]?.folder ? html`<${R2Object} bucket=${bucket} name=${picked} key=${picked} />` : html`<div class="empty"><strong>Choose an object</strong><span>to see what is in it.</span></div>`}</div>
    </div>
  </div>`;
}

/** @param {{bucket: string, name: string}} props */
function R2Object({ bucket, name }) {
  const { data: o, error } = useQuery((signal) => get("state/r2/object", { bucket, key: name }, signal), [bucket, name], AFTER);
  if (error) return html`<div class="empty"><strong>${error.message}</strong></div>`;
  if (!o) return null;
  const custom = Object.entries(o.customMetadata);
  return html`<header><h2 class="mono cut">${o.key}</h2><span class="grow"></span>
      <button type="button" class="btn small danger" disabled=${!!whyNot()} title=${whyNot()} onClick=${() => openDelete("r2", bucket, [o.key], () => setParams({ key: null }))}><${Icon} name="trash" size=${14} />Delete…</button></header>
    <div class="body stack">
      <dl class="facts"><dt>Size</dt><dd>${plural(o.size, "byte")}</dd><dt>Stored</dt><dd>${fullTime(o.uploadedMs)}</dd><dt>Content type</dt><dd>${o.contentType ?? html`<span class="soft">none</span>`}</dd><dt>etag</dt><dd class="mono">${o.etag}</dd>
        ${custom.map(([k, v]) => html`<dt key=${k}>${k}</dt><dd class="mono">${v}</dd>`)}</dl>
      <${BodyView} body=${{ ...o, contentType: "" }} bytes=${o.size} />
      ${o.truncated && html`<div class="note">The first 128,000 of ${plural(o.size, "byte")}. <code>wpy r2 object get</code> gives all of them.</div>`}
    </div>`;
}
