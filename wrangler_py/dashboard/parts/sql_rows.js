/** Tables of SQLite: which there are, and their rows, with values exactly as they are stored. */
import { html, cls, useState } from "../ui.js";
import { useQuery } from "../live.js";
import { bytes, count } from "../format.js";

const PAGE = 100;

/** @typedef {{type: string, text: string, bytes?: number, chars?: number}} Cell */

/** @param {{cell: Cell}} props */
function Value({ cell }) {
  if (cell.type === "null") return html`<span class="soft">NULL</span>`;
  if (cell.type === "blob") return html`<span title=${`${count(cell.bytes)} bytes`}><span class="soft">x</span>'${cell.text.slice(0, 32)}${cell.text.length > 32 ? "…" : ""}' <span class="soft small">${bytes(cell.bytes)}</span></span>`;
  return html`<span class=${cls(cell.type !== "text" && "j-number")} title=${cell.text.length > 60 ? cell.text : undefined}>${cell.text === "" ? html`<span class="soft">''</span>` : cell.text}${cell.chars ? "…" : ""}</span>`;
}

/** @param {{columns: string[], rows: Cell[][], label: string}} props */
export const Rows = ({ columns, rows, label }) => html`<div class="sql-rows" tabindex="0" role="region" aria-label=${label}><table class="table">
  <thead><tr>${columns.map((c, n) => html`<th scope="col" key=${n} class=${cls(rows.length > 0 && rows.every((r) => r[n].type === "integer" || r[n].type === "real") && "right")}>${c}</th>`)}</tr></thead>
  <tbody>${rows.map((row, i) => html`<tr key=${i}>${row.map((cell, n) => html`<td key=${n} class=${cls("mono", (cell.type === "integer" || cell.type === "real") && "num")}><${Value} cell=${cell} /></td>`)}</tr>`)}</tbody></table></div>`;

/** How many rows, when they are counted up to a bound. @param {number} n */
const rowCount = (n) => (n > 100000 ? "100,000+" : count(n));

/**
 * @param {{tables: any[], load: (table: string, cursor: string, limit: number, signal: AbortSignal) => Promise<any>, after: import("../live.js").Freshness, of: string}} props
 * `of`: what the tables are of, for screen readers
 */
export function Tables({ tables, load, after, of }) {
  const [wanted, setWanted] = useState("");
  const [page, setPage] = useState(0);
  const table = tables.find((t) => t.name === wanted) ?? tables[0];
  const { data, error } = useQuery((signal) => (table ? load(table.name, String(page * PAGE), PAGE, signal) : Promise.resolve(null)), [table?.name, page], after);
  if (!table) return html`<div class="empty"><strong>No tables yet</strong></div>`;
  const shown = data?.columns.length === table.columns.length ? data : null;
  return html`<div class="tables">
    <div class="row wrap tables-head"><div class="row wrap" role="tablist" aria-label="Tables">${tables.map((t) => html`<button type="button" role="tab" class="btn small" key=${t.name} aria-selected=${String(t === table)} onClick=${() => (setWanted(t.name), setPage(0))}>${t.name}<span class="soft small">${rowCount(t.rows)}</span></button>`)}</div></div>
    ${error && html`<div class="note bad">${error.message}</div>`}
    ${shown && (shown.rows.length ? html`<${Rows} columns=${shown.columns} rows=${shown.rows} label=${`Rows of ${table.name} of ${of}`} />` : html`<div class="empty"><strong>No rows</strong><span class="mono small">${table.sql}</span></div>`)}
    ${shown && (page > 0 || shown.cursor) && html`<div class="panel-foot"><span class="soft small grow">Rows ${count(page * PAGE + 1)} to ${count(page * PAGE + shown.rows.length)} of ${rowCount(table.rows)}</span>
      <button type="button" class="btn small" disabled=${page === 0} onClick=${() => setPage(page - 1)}>Before</button><button type="button" class="btn small" disabled=${!shown.cursor} onClick=${() => setPage(page + 1)}>Next</button></div>`}
  </div>`;
}
