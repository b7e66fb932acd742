/** One D1 database: its tables, and SQL. */
import { html, useState } from "../../ui.js";
import { get } from "../../api.js";
import { useQuery } from "../../live.js";
import { useKeys } from "../../keys.js";
import { bytes, count, plural } from "../../format.js";
import { act, copyAs, whyNot } from "../../actions.js";
import { Icon } from "../../parts/icons.js";
import { Rows, Tables } from "../../parts/sql_rows.js";
import { AFTER, Head } from "../state.js";

/** @param {{parts: string[]}} props */
export default function Database({ parts }) {
  const database = parts[2];
  const { data, error, reload } = useQuery((signal) => get("state/d1/tables", { database }, signal), [database], AFTER);
  const [sql, setSql] = useState(() => localStorage.getItem("wpy.sql." + database) ?? "");
  const [answer, setAnswer] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const call = { path: "state/d1/query", body: { database, sql } };
  const run = async () => {
    if (!sql.trim() || busy || whyNot()) return;
    setBusy(true);
    localStorage.setItem("wpy.sql." + database, sql.slice(0, 20000));
    const told = await act(call, () => null);
    setBusy(false);
    if (!told) return;
    setAnswer(told);
    reload();
  };
  useKeys([{ keys: "/", label: "Write SQL", group: "List", run: () => /** @type {HTMLElement} */ (document.querySelector("#d1-sql")).focus() }]);
  const last = answer?.results.at(-1);
  return html`<div class="page">
    <${Head} kind="d1" name=${data?.name ?? database}><span class="soft small">${data ? bytes(data.bytes) : ""}</span></${Head}>
    ${error && html`<div class="note bad">${error.message}</div>`}
    ${data && html`<section class="panel" aria-label="Tables"><${Tables} tables=${data.tables} after=${AFTER} of=${data.name} load=${(table, cursor, limit, signal) => get("state/d1/rows", { database, table, cursor, limit }, signal)} /></section>`}
    <section class="panel" aria-label="SQL"><header><h2>SQL</h2><span class="soft small">in one transaction, by D1's rules; whole numbers as a Worker sees them</span></header>
      <form class="body stack tight" onSubmit=${(event) => (event.preventDefault(), run())}>
        <textarea id="d1-sql" class="input mono" rows="3" spellcheck=${false} aria-label="SQL" placeholder="SELECT * FROM …" value=${sql} onInput=${(event) => setSql(event.target.value)} onKeyDown=${(event) => (event.ctrlKey || event.metaKey) && event.key === "Enter" && run()}></textarea>
        <div class="btns"><button type="submit" class="btn solid" disabled=${!sql.trim() || busy || !!whyNot()} title=${whyNot()}><${Icon} name="play" size=${13} />Run <kbd>Ctrl ⏎</kbd></button><button type="button" class="btn quiet" disabled=${!sql.trim()} onClick=${(event) => copyAs(event.currentTarget, call)}>Copy as…</button>
          ${last && html`<span class="soft small" role="status">${plural(last.total, "row")}, ${count(last.rowsRead)} read, ${count(last.rowsWritten)} written${last.total > last.rows.length ? `; the first ${count(last.rows.length)} are shown` : ""}</span>`}</div>
      </form>
      ${last?.columns.length > 0 && html`<${Rows} columns=${last.columns} rows=${last.rows} label="What the SQL gave" />`}
    </section>
  </div>`;
}
