/** The list of messages: search, keys, selection and what can be done with it. Used wherever messages are listed. */
import { html, cls, slim, useCell, useEffect, useMemo, useRef, useState } from "../ui.js";
import { get } from "../api.js";
import { overview } from "../live.js";
import { usePages } from "../paging.js";
import { useKeys } from "../keys.js";
import { href, navigate } from "../router.js";
import { bytes, count, plural } from "../format.js";
import { pathsIn, statesIn, toggleState } from "../query.js";
import { copyAs, discard, discardCall, redrive, redriveCall, replay, replayCall, retryCall, retryNow, whyNot } from "../actions.js";
import { Icon, Shape, State, STATE_WORDS } from "./icons.js";
import { openMenu } from "./floating.js";
import { openRedrive } from "./redrive_form.js";
import { SearchBox } from "./search_box.js";
import { Ago } from "./times.js";
import { VList } from "./vlist.js";

const FILTERS = ["ready", "delayed", "in_flight", "retrying", "dead", "acked"];

/**
 * @param {object} props
 * @param {string} props.q the search
 * @param {(q: string) => void} props.onSearch
 * @param {string} [props.queue] only of this queue
 * @param {boolean} [props.dead] they are the dead letters of `queue`
 * @param {any} props.empty what to show where there is nothing
 */
export function MessageList({ q, onSearch, queue, dead, empty }) {
  const [order, setOrder] = useState("newest");
  const [cursor, setCursor] = useState(-1);
  const [picked, setPicked] = useState(/** @type {Set<string>} */ (new Set()));
  const [everything, setEverything] = useState(false);
  const [over, setOver] = useState(false);
  const isSlim = useCell(slim);
  const anchor = useRef(-1);
  const o = useCell(overview);
  const list = usePages(({ cursor: at, limit }, signal) => get("messages", { q, queue, cursor: at, limit, order }, signal), [q, queue ?? "", order], {
    on: ["message.", "messages.", "batch.", "queue.purged", "clock."], queue, every: 10000,
  });
  const { rows } = list;
  list.hold(over || picked.size > 0 || cursor >= 0);
  useEffect(() => {
    setCursor(-1);
    setPicked(new Set());
    setEverything(false);
  }, [q, queue, order]);

  const current = rows[cursor];
  const ids = everything ? null : picked.size ? [...picked] : current ? [current.id] : [];
  /** What the next action is about: the selection, else the row under the cursor. */
  const which = everything ? { q: q || "", ...(queue && { queue }) } : { ids };
  const some = everything || (ids?.length ?? 0) > 0;
  const clear = () => {
    setPicked(new Set());
    setEverything(false);
  };
  const then = (/** @type {Promise<any>} */ done) => done.then((answer) => answer && clear());
  const move = (by) => rows.length && setCursor(Math.max(0, Math.min(list.total - 1, cursor + by)));
  const toggle = (index) => {
    const id = rows[index]?.id;
    if (!id) return;
    const next = new Set(picked);
    if (!next.delete(id)) next.add(id);
    setEverything(false);
    setPicked(next);
    anchor.current = index;
  };
  const pickTo = (index) => {
    const [a, b] = [Math.min(anchor.current < 0 ? index : anchor.current, index), Math.max(anchor.current, index)];
    setPicked(new Set([...picked, ...rows.slice(a, b + 1).map((r) => r.id)]));
  };
  const open = (row) => row && navigate(href(["message", row.id]));
  const off = !!whyNot();

  useKeys([
    { keys: "j, ArrowDown", label: "Next row", group: "List", run: () => move(1) },
    { keys: "k, ArrowUp", label: "Row before", group: "List", run: () => move(-1) },
    { keys: "J", label: "Select downwards", group: "Selection", run: () => (cursor >= 0 && !picked.size && toggle(cursor), pickTo(Math.min(rows.length - 1, cursor + 1)), move(1)) },
    { keys: "PageDown", label: "A page on", group: "List", hidden: true, run: () => move(15) },
    { keys: "PageUp", label: "A page back", group: "List", hidden: true, run: () => move(-15) },
    { keys: "Home", label: "First row", group: "List", run: () => setCursor(0) },
    { keys: "End", label: "Last row that is loaded", group: "List", run: () => setCursor(rows.length - 1) },
    { keys: "Enter, o", label: "Open the message", group: "List", run: () => open(current) },
    { keys: "x, Space", label: "Select the row", group: "Selection", run: () => toggle(cursor) },
    { keys: "Ctrl-a", label: "Select all that match", group: "Selection", run: () => rows.length && (setPicked(new Set(rows.map((r) => r.id))), setEverything(true)) },
    { keys: "Escape", label: "Select nothing", group: "Selection", run: () => (picked.size ? clear() : setCursor(-1)) },
    { keys: "n", label: "Show new rows", group: "List", run: () => (list.show(), setCursor(-1), setOver(false)) },
    { keys: "r", label: "Retry now: do not wait any longer", group: "Message", run: () => some && !off && then(retryNow(which)) },
    { keys: "R", label: "Replay with the code as it is now", group: "Message", run: () => some && !off && then(replay(which, { open: ids?.length === 1 })) },
    dead && { keys: "d", label: "Redrive: back to where it died", group: "Message", run: () => some && !off && then(redrive(queue, which)) },
    { keys: "#, Delete", label: "Discard (ten seconds to undo)", group: "Message", run: () => some && !off && then(discard(which)) },
    { keys: "c", label: "Copy the action as a command", group: "Message", run: () => some && copyAs(document.querySelector("main .vrow.cursor, main .bulk") ?? document.body, twinsOf(which)) },
  ].filter(Boolean));

  /** @param {import("../actions.js").Which} w */
  const twinsOf = (w) => [
    dead && { label: "Redrive", call: redriveCall(queue, w) },
    { label: "Replay", call: replayCall(w) },
    { label: "Retry now", call: retryCall(w) },
    { label: "Discard", call: discardCall(w) },
  ].filter(Boolean);
  const rowMenu = (row, at) => {
    const one = { ids: [row.id] };
    const waits = ["delayed", "retrying"].includes(row.state);
    openMenu(at, [
      { label: "Open", icon: "rightward", hint: "⏎", run: () => open(row) },
      { label: "Replay with the code as it is now", icon: "replay", hint: "R", disabled: off, run: () => replay(one, { open: true }) },
      { label: "Retry now", icon: "up", hint: "r", disabled: off || !waits, run: () => retryNow(one) },
      (dead || row.state === "dead") && { label: `Redrive${row.diedIn ? ` to ${row.diedIn}` : ""}`, icon: "left", hint: "d", disabled: off, run: () => redrive(row.queue, one) },
      { label: "Discard", icon: "trash", hint: "#", danger: true, disabled: off || row.endedMs !== null, run: () => discard(one) },
      { line: true },
      { label: "Copy as wpy, curl, pytest…", icon: "code", run: () => copyAs(at, twinsOf(one)) },
    ]);
  };

  // What completes: kept while a search that finds nothing is being typed.
  const seenPaths = useRef(new Map());
  const known = useMemo(() => {
    if (rows.length) seenPaths.current = pathsIn(rows.slice(0, 200).map((r) => r.preview ?? ""));
    return { queues: (o?.queues ?? []).map((x) => x.name), paths: seenPaths.current };
  }, [o?.queues?.length, rows.length, q]);
  const click = (index, event) => {
    if (event.shiftKey && (event.preventDefault(), true)) return pickTo(index);
    if (event.ctrlKey || event.metaKey) return toggle(index);
    setCursor(index);
    open(rows[index]);
  };

  const cells = (index) => {
    const row = rows[index];
    if (!row) return null;
    const note = row.error ?? row.reason;
    return html`
      <div role="gridcell" class="c-pick"><input type="checkbox" class="check" aria-label=${`Select ${row.id.slice(0, 8)}`} checked=${everything || picked.has(row.id)}
        onClick=${(event) => (event.shiftKey ? pickTo(index) : toggle(index))} /></div>
      <div role="gridcell" class="c-state"><${State} state=${row.state} /></div>
      <div role="gridcell" class="c-body"><a class="cut mono" href=${href(["message", row.id])} tabindex="-1">${row.preview || html`<span class="soft">${row.size ? `${bytes(row.size)} of ${row.contentType}` : "empty"}</span>`}</a>
        ${note && html`<span class=${cls("cut small", row.error ? "bad" : "soft")}>${row.error ?? (row.where ? `${row.reason} at ${row.where}` : row.reason)}</span>`}</div>
      ${!queue && html`<div role="gridcell" class="c-queue"><a class="tag" href=${href(["queue", row.queue])} tabindex="-1"><span class="cut">${row.queue}</span></a></div>`}
      <div role="gridcell" class="c-num" title="Attempts">${row.attempts ? html`<span class="soft">×</span>${row.attempts}` : ""}</div>
      <div role="gridcell" class="c-due small">${row.dueMs && ["delayed", "retrying"].includes(row.state) ? html`<span class="soft"><${Ago} ms=${row.dueMs} /></span>` : ""}</div>
      <div role="gridcell" class="c-age small soft"><${Ago} ms=${row.sentMs} /></div>
      <div role="gridcell" class="c-more"><button type="button" class="btn quiet icon small" tabindex="-1" aria-label=${`Actions of ${row.id.slice(0, 8)}`} aria-haspopup="menu" onClick=${(event) => rowMenu(row, event.currentTarget)}><${Icon} name="more" /></button></div>`;
  };

  const chosen = everything ? list.total : picked.size;
  return html`<section class="mlist fill" aria-label="Messages">
    <div class="mlist-top">
      ${chosen > 0
        ? html`<div class="bulk" role="toolbar" aria-label="What to do with the selection">
            <b>${count(chosen)} selected</b>
            ${!everything && picked.size === rows.length && list.total > rows.length && html`<button type="button" class="btn small quiet" onClick=${() => setEverything(true)}>Select all ${count(list.total)} that match</button>`}
            <span class="grow"></span>
            ${dead && html`<button type="button" class="btn small solid" disabled=${off} title=${whyNot()} onClick=${() => openRedrive(queue, which, chosen, clear)}><${Icon} name="left" size=${14} />Redrive…</button>`}
            <button type="button" class="btn small" disabled=${off} title=${whyNot()} onClick=${() => then(replay(which))}><${Icon} name="replay" size=${14} />Replay</button>
            ${!dead && html`<button type="button" class="btn small" disabled=${off} title=${whyNot()} onClick=${() => then(retryNow(which))}><${Icon} name="up" size=${14} />Retry now</button>`}
            <button type="button" class="btn small danger" disabled=${off} title=${whyNot()} onClick=${() => then(discard(which))}><${Icon} name="trash" size=${14} />Discard</button>
            <button type="button" class="btn small quiet" onClick=${(event) => copyAs(event.currentTarget, twinsOf(which))}>Copy as…</button>
            <button type="button" class="btn small quiet icon" aria-label="Select nothing" onClick=${clear}><${Icon} name="x" size=${14} /></button>
          </div>`
        : html`<${SearchBox} value=${q} onChange=${onSearch} known=${known} placeholder=${isSlim ? "Search" : "Search: text, body.user.id:42, state:dead, attempts:>1, error:Timeout"} error=${list.error?.message} />
          ${!isSlim && !dead && html`<div class="row filters" role="group" aria-label="States">${FILTERS.map((s) => html`<button type="button" key=${s} class="btn small quiet" aria-pressed=${String(statesIn(q).includes(s))} onClick=${() => onSearch(toggleState(q, s))}><${Shape} state=${s} />${STATE_WORDS[s]}</button>`)}</div>`}`}
    </div>
    ${list.error && html`<div class="note bad">${list.error.message}</div>`}
    <div class="panel mlist-panel">
      ${rows.length === 0 && !list.loading
        ? q ? html`<div class="empty"><strong>Nothing fits this search</strong><span>All that match would be here as they come.</span><button type="button" class="btn" onClick=${() => onSearch("")}>Clear the search</button></div>` : empty
        : html`<${VList} label=${queue ? `Messages of ${queue}` : "Messages"} multi count=${list.total} rowHeight=${isSlim ? 62 : 46} className=${cls("messages", queue && "of-queue", isSlim && "slim")} resetKey=${`${q} ${queue} ${order}`}
            cursor=${cursor} isPicked=${(i) => everything || (!!rows[i] && picked.has(rows[i].id))} rowClass=${(i) => rows[i]?.left && "left"} keyOf=${(i) => rows[i]?.id ?? i} row=${cells}
            onRow=${click} onRowMenu=${(i, event) => rowMenu(rows[i], event.currentTarget)} onRange=${list.want} onHover=${setOver}
            header=${html`<div role="columnheader" class="c-pick"><input type="checkbox" class="check" aria-label="Select all that are loaded" checked=${picked.size > 0 && picked.size === rows.length} onClick=${() => (picked.size ? clear() : setPicked(new Set(rows.map((r) => r.id))))} /></div>
              <div role="columnheader" class="c-state">State</div><div role="columnheader" class="c-body">Body</div>${!queue && html`<div role="columnheader" class="c-queue">Queue</div>`}<div role="columnheader" class="c-num">Tries</div><div role="columnheader" class="c-due">Due</div>
              <div role="columnheader" class="c-age"><button type="button" class="link" onClick=${() => setOrder(order === "newest" ? "oldest" : "newest")} title=${`Sorted by when it was sent, ${order} first`}>Sent ${order === "newest" ? "↓" : "↑"}</button></div><div role="columnheader" class="c-more"><span class="only-read">Actions</span></div>`} />`}
      <button type="button" class="fresh" hidden=${!list.fresh} onClick=${() => (list.show(), setCursor(-1))}>${plural(list.fresh, "new message")} <kbd>n</kbd></button>
    </div>
    <div class="mlist-foot small soft"><span>${list.exact ? "" : "about "}${plural(list.total, "message")}</span><span class="grow"></span><span class="hints"><kbd>j</kbd> <kbd>k</kbd> move <kbd>⏎</kbd> open <kbd>x</kbd> select <kbd>R</kbd> replay <kbd>?</kbd> all keys</span></div>
  </section>`;
}
