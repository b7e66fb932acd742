/** The Durable Objects of one class, and what one of them has stored. */
import { html, useState } from "../../ui.js";
import { get } from "../../api.js";
import { useQuery } from "../../live.js";
import { usePages } from "../../paging.js";
import { useKeys } from "../../keys.js";
import { href, navigate, setParams } from "../../router.js";
import { bytes, fullTime, plural } from "../../format.js";
import { act, copy, copyAs, whyNot } from "../../actions.js";
import { BodyView } from "../../parts/body_view.js";
import { Icon } from "../../parts/icons.js";
import { Ago } from "../../parts/times.js";
import { VList } from "../../parts/vlist.js";
import { Tables } from "../../parts/sql_rows.js";
import { AFTER, Head } from "../state.js";

/** @param {{parts: string[], params: URLSearchParams}} props */
export default function Objects({ parts, params }) {
  const [, , worker, name, id] = parts;
  return id ? html`<${One} worker=${worker} name=${name} id=${id} called=${params.get("name")} />` : html`<${List} worker=${worker} name=${name ?? ""} q=${params.get("q") ?? ""} />`;
}

/** @param {{worker: string, name: string, q: string}} props */
function List({ worker, name, q }) {
  const [text, setText] = useState(q);
  const [cursor, setCursor] = useState(-1);
  const [over, setOver] = useState(false);
  const list = usePages(
    async ({ cursor: at, limit }, signal) => {
      const a = await get("state/objects", { worker, class: name, q, cursor: at, limit }, signal);
      return { rows: a.objects, cursor: a.cursor, total: a.total };
    },
    ["objects", worker, name, q],
    AFTER,
  );
  list.hold(over || cursor >= 0);
  const { rows } = list;
  const open = (row) => row && navigate(href(["state", "objects", worker, name, row.id], { name: row.name }));
  useKeys([
    { keys: "j, ArrowDown", label: "Next object", group: "List", run: () => setCursor(Math.min(rows.length - 1, cursor + 1)) },
    { keys: "k, ArrowUp", label: "Object before", group: "List", run: () => setCursor(Math.max(0, cursor - 1)) },
    { keys: "Enter, o", label: "Open the object", group: "List", run: () => open(rows[cursor]) },
    { keys: "/", label: "Search", group: "List", run: () => /** @type {HTMLElement} */ (document.querySelector("#object-search")).focus() },
  ]);
  return html`<div class="page fixed">
    <${Head} kind="objects" name=${name}><span class="tag">${worker}</span>
      <div class="search slim-search"><${Icon} name="search" /><input id="object-search" class="input" aria-label="A name, or the beginning of an id" placeholder="Name or id" value=${text} onInput=${(e) => (setText(e.target.value), setCursor(-1), setParams({ q: e.target.value.trim() }))} onKeyDown=${(e) => (e.key === "Escape" || e.key === "Enter") && (e.target.blur(), e.key === "Enter" && setCursor(0))} /><kbd aria-hidden="true">/</kbd></div></${Head}>
    ${list.error && html`<div class="note bad">${list.error.message}</div>`}
    <div class="panel fill mlist-panel">${!rows.length && !list.loading
      ? html`<div class="empty"><strong>${q ? "No object has this name, or an id that begins so" : "No object has stored anything yet"}</strong><span>An object is here once its first write was committed.</span></div>`
      : html`<${VList} label="Objects" className="kv" count=${list.total} rowHeight=${38} keyOf=${(i) => rows[i]?.id ?? i} cursor=${cursor} resetKey=${q} onRow=${(i) => open(rows[i])} onRange=${list.want} onHover=${setOver}
          row=${(i) => rows[i] && html`<div role="gridcell" class="o-name cut">${rows[i].name ? html`<b>${rows[i].name}</b>` : html`<span class="soft">name not known</span>`}</div><div role="gridcell" class="grow cut mono"><a href=${href(["state", "objects", worker, name, rows[i].id])} tabindex="-1">${rows[i].id}</a></div><div role="gridcell" class="soft small nowrap">${bytes(rows[i].bytes)}</div>`} />`}</div>
  </div>`;
}

/** @param {{worker: string, name: string, id: string, called: string | null}} props */
function One({ worker, name, id, called }) {
  const { data: o, error } = useQuery((signal) => get("state/object", { worker, class: name, id }, signal), [worker, name, id], AFTER);
  const [picked, setPicked] = useState("");
  useKeys([{ keys: "u, Escape", label: "Back", group: "List", run: () => navigate(href(["state", "objects", worker, name])) }]);
  const key = o?.keys.find((k) => k.key === picked) ?? o?.keys[0];
  const alarm = { path: "alarms/run", body: { worker, namespace: name, objectId: id } };
  return html`<div class="page">
    <${Head} kind="objects" of=${html`<a class="crumbs" href=${href(["state", "objects", worker, name])}>${name}</a>`} name=${called ?? html`<span class="mono">${id.slice(0, 12)}</span>`}><span class="tag">${worker}</span><button type="button" class="link mono small soft cut" title="Copy the id" onClick=${() => copy(id, "the id")}>${id}</button></${Head}>
    ${error && html`<div class="note bad">${error.message}</div>`}
    ${o?.alarmMs && html`<div class="note"><${Icon} name="alarms" /><span class="grow">Its alarm is due <${Ago} ms=${o.alarmMs} /> <span class="soft">${fullTime(o.alarmMs)}</span></span><button type="button" class="btn small" disabled=${!!whyNot()} title=${whyNot()} onClick=${() => act(alarm, (r) => (r.outcome && r.outcome !== "ok" ? `The alarm failed: ${r.error ?? r.outcome}` : "The alarm ran."))} onContextMenu=${(e) => (e.preventDefault(), copyAs(e.currentTarget, alarm))}><${Icon} name="play" size=${13} />Run now</button></div>`}
    ${o && (o.keys.length > 0 || !o.tables.length) && html`<section class="panel" aria-label="Keys"><header><h2>Keys</h2><span class="soft small">${plural(o.keys.length, "key")}${o.moreKeys ? ", the first of more" : ""}</span></header>
      ${key ? html`<div class="split keys-split"><ul class="key-list">${o.keys.map((k) => html`<li key=${k.key}><button type="button" aria-pressed=${String(k === key)} onClick=${() => setPicked(k.key)}><code class="cut">${k.key}</code><span class="soft small">${bytes(k.bytes)}</span></button></li>`)}</ul>
        <div class="body"><${BodyView} body=${{ contentType: "json", text: key.text, base64: null }} bytes=${key.bytes} /></div></div>` : html`<div class="empty"><strong>No keys</strong></div>`}</section>`}
    ${o?.tables.length > 0 && html`<section class="panel" aria-label="Tables"><header><h2>Tables</h2></header><${Tables} tables=${o.tables} after=${AFTER} of=${called ?? id.slice(0, 12)} load=${(table, cursor, limit, signal) => get("state/object/rows", { worker, class: name, id, table, cursor, limit }, signal)} /></section>`}
  </div>`;
}
