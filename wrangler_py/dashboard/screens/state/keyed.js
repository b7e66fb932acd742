/** What KV and R2 have in common: the keys that begin so, and beside them what stands under one. The address holds both. */
import { html, useEffect, useState } from "../../ui.js";
import { usePages } from "../../paging.js";
import { useKeys } from "../../keys.js";
import { setParams } from "../../router.js";
import { plural } from "../../format.js";
import { whyNot } from "../../actions.js";
import { BodyView } from "../../parts/body_view.js";
import { Icon } from "../../parts/icons.js";
import { VList } from "../../parts/vlist.js";
import { openDelete, openPut } from "../../parts/value_forms.js";
import { AFTER, Head } from "../state.js";

/** @typedef {{id: string, folder?: boolean, [name: string]: any}} Row */

/**
 * @param {object} props
 * @param {"kv" | "r2"} props.kind
 * @param {string} props.store which one
 * @param {any} [props.title] in place of `store`
 * @param {URLSearchParams} props.params
 * @param {string} props.noun what one of them is called
 * @param {string} props.write what the button that writes one says
 * @param {(prefix: string, page: {cursor: string | null, limit: number}, signal?: AbortSignal) => Promise<{rows: Row[], cursor: string | null}>} props.load
 * @param {(row: Row) => any} props.cells what a row shows
 * @param {(row: Row) => unknown} [props.open] what a press on a row does, if that is not to show it
 * @param {(selected: Row | undefined) => import("../../keys.js").Binding[]} [props.more] more keys
 * @param {(id: string) => any} props.value what stands there
 */
export function Keyed({ kind, store, title, params, noun, write, load, cells, open, more, value }) {
  const prefix = params.get("prefix") ?? "";
  const picked = params.get("key");
  const [text, setText] = useState(prefix);
  const [over, setOver] = useState(false);
  const box = `${kind}-prefix`;
  useEffect(() => {
    if (document.activeElement?.id !== box) setText(prefix);
  }, [prefix]);
  const list = usePages(
    async (page, signal) => {
      const answer = await load(prefix, page, signal);
      return { ...answer, total: answer.rows.length };
    },
    [kind, store, prefix],
    AFTER,
  );
  list.hold(over);
  const { rows } = list;
  const at = rows.findIndex((row) => row.id === picked);
  const pick = (/** @type {number} */ i) => rows[i] && setParams({ key: rows[i].id });
  useKeys([
    { keys: "j, ArrowDown", label: `Next ${noun}`, group: "List", run: () => pick(Math.min(rows.length - 1, at + 1)) },
    { keys: "k, ArrowUp", label: `The ${noun} before`, group: "List", run: () => pick(Math.max(0, at - 1)) },
    { keys: "/", label: "Search", group: "List", run: () => document.getElementById(box)?.focus() },
    ...(more?.(rows[at]) ?? []),
  ]);
  return html`<div class="page fixed">
    <${Head} kind=${kind} name=${title ?? store}>
      <div class="search slim-search"><${Icon} name="search" /><input id=${box} class="input" aria-label="Keys that begin with" placeholder="Begins with" value=${text} onInput=${(e) => (setText(e.target.value), setParams({ prefix: e.target.value, key: null }))} onKeyDown=${(e) => (e.key === "Escape" || e.key === "Enter") && e.target.blur()} /><kbd aria-hidden="true">/</kbd></div>
      <div class="btns"><button type="button" class="btn" disabled=${!!whyNot()} title=${whyNot()} onClick=${() => openPut(kind, store, {}, (key) => setParams({ key }))}><${Icon} name="edit" size=${14} />${write}</button></div>
    </${Head}>
    ${list.error && html`<div class="note bad">${list.error.message}</div>`}
    <div class="split fill state-split">
      <div class="panel mlist-panel">${!rows.length && !list.loading
        ? html`<div class="empty"><strong>${prefix ? `No ${noun} begins so` : `No ${noun}s yet`}</strong><span>They come when a worker calls <code>put()</code>.</span></div>`
        : html`<${VList} label=${noun[0].toUpperCase() + noun.slice(1) + "s"} className="kv" count=${list.total} rowHeight=${36} keyOf=${(i) => rows[i]?.id ?? i} cursor=${at} resetKey=${prefix}
            onRow=${(i) => (open ? rows[i] && open(rows[i]) : pick(i))} onRange=${list.want} onHover=${setOver} row=${(i) => rows[i] && cells(rows[i])} />`}</div>
      <div class="panel">${picked && !rows[at]?.folder ? value(picked) : html`<div class="empty"><strong>Choose one</strong><span>to see what stands there.</span></div>`}</div>
    </div>
  </div>`;
}

/**
 * What stands under a key: its name and what can be done, facts about it, and itself.
 * @param {{kind: "kv" | "r2", store: string, name: string, edit?: {text: string | null, truncated: boolean, open: () => void}, facts: any, body: any, size: number, truncated: boolean, whole: string}} props
 * `whole`: the command that gives all of it
 */
export function Stored({ kind, store, name, edit, facts, body, size, truncated, whole }) {
  const editable = !!edit && edit.text !== null && !edit.truncated;
  return html`<header><h2 class="mono cut">${name}</h2><span class="grow"></span>
      ${edit && html`<button type="button" class="btn small" disabled=${!editable || !!whyNot()} title=${whyNot() ?? (editable ? undefined : "No text, or too long to be edited here")} onClick=${edit.open}><${Icon} name="edit" size=${14} />Edit…</button>`}
      <button type="button" class="btn small danger" disabled=${!!whyNot()} title=${whyNot()} onClick=${() => openDelete(kind, store, [name], () => setParams({ key: null }))}><${Icon} name="trash" size=${14} />Delete…</button></header>
    <div class="body stack">
      ${facts && html`<dl class="facts">${facts}</dl>`}
      <${BodyView} body=${body} bytes=${size} />
      ${truncated && html`<div class="note">The first 128,000 of ${plural(size, "byte")}. <code>${whole}</code> gives all of them.</div>`}
    </div>`;
}
