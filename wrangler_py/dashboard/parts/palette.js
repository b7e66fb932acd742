/** Ctrl-K: every screen, queue, cron and action by a few letters of its name. */
import { html, cls, useEffect, useMemo, useRef, useState, useLayoutEffect, Fragment } from "../ui.js";
import { overview } from "../live.js";
import { get } from "../api.js";
import { href, navigate } from "../router.js";
import { Icon } from "./icons.js";
import { SCREENS } from "../screens.js";
import { act, advanceCall, freezeCall, nextCall, resumeCall, setPaused } from "../actions.js";
import { moveClock } from "./strip.js";
import { clock, togglePause } from "../live.js";
import { toggleTheme } from "../theme.js";
import { showHelp } from "./help.js";
import { openSend } from "./send_form.js";
import { closeDialog, openDialog } from "./floating.js";

export const openPalette = () => openDialog(Palette);

/** @returns {{group: string, label: string, icon: string, hint?: string, run: () => void}[]} */
function everything() {
  const o = overview.get();
  /** @type {ReturnType<typeof everything>} */
  const list = SCREENS.map((s) => ({ group: "Screens", label: s.label, icon: s.icon, hint: `g ${s.key}`, run: () => navigate(href(s.parts)) }));
  const queues = o?.queues ?? [];
  list.push(...queues.map(asEntry));
  for (const q of queues) {
    list.push({ group: "Actions", label: `Send to ${q.name}…`, icon: "send", run: () => openSend(q.name) });
    list.push({ group: "Actions", label: `${q.paused ? "Resume" : "Pause"} ${q.name}`, icon: q.paused ? "play" : "pause", run: () => setPaused(q.name, q.paused) });
  }
  const frozen = clock.get()?.frozen;
  list.push(
    { group: "Actions", label: "Clock: go to the next event", icon: "forward", hint: "g .", run: () => moveClock(nextCall) },
    { group: "Actions", label: "Clock: advance 1 minute", icon: "rightward", run: () => moveClock(advanceCall(60)) },
    { group: "Actions", label: "Clock: advance 1 hour", icon: "rightward", run: () => moveClock(advanceCall(3600)) },
    { group: "Actions", label: "Clock: advance 1 day", icon: "rightward", run: () => moveClock(advanceCall(86400)) },
    { group: "Actions", label: frozen ? "Clock: run on" : "Clock: freeze", icon: "freeze", run: () => act(frozen ? resumeCall : freezeCall) },
    { group: "Actions", label: "Hold or resume live updates", icon: "pause", hint: "p", run: togglePause },
    { group: "Actions", label: "Light or dark", icon: "moon", hint: "t", run: toggleTheme },
    { group: "Actions", label: "Keyboard", icon: "help", hint: "?", run: showHelp },
  );
  return list;
}

/** @param {any} q a queue */
const asEntry = (q) => ({ group: "Queues", label: q.name, icon: "queues", hint: q.backlog ? `${q.backlog} waiting` : "", run: () => navigate(href(["queue", q.name])) });

/** Queues whose names have these letters in them, where there are more than the overview tells of. @param {string} letters */
function useMore(letters) {
  const [more, setMore] = useState(/** @type {ReturnType<typeof everything>} */ ([]));
  useEffect(() => {
    const o = overview.get();
    if (letters.length < 2 || !o || o.queuesTotal <= o.queues.length) return;
    const abort = new AbortController();
    const timer = setTimeout(() => get("queues", { q: letters, limit: 20 }, abort.signal).then((a) => setMore(a.queues.map(asEntry)), () => {}), 120);
    return () => (clearTimeout(timer), abort.abort());
  }, [letters]);
  return more;
}

/** How well letters fit a name: lower is better, null is not at all. @param {string} text @param {string} letters */
export function fit(text, letters) {
  const low = text.toLowerCase();
  const whole = low.indexOf(letters);
  if (whole >= 0) return whole === 0 ? 0 : 1 + whole / 100;
  let at = -1;
  let gaps = 0;
  for (const letter of letters) {
    if (letter === " ") continue;
    const next = low.indexOf(letter, at + 1);
    if (next < 0) return null;
    gaps += at < 0 ? 0 : next - at - 1;
    at = next;
  }
  return 5 + gaps;
}

function Palette() {
  const all = useMemo(everything, []);
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const list = useRef(null);
  const letters = text.trim().toLowerCase();
  const more = useMore(letters);
  const found = useMemo(() => {
    if (!letters) return [...all.filter((e) => e.group === "Screens"), ...all.filter((e) => e.group === "Queues").slice(0, 5), ...all.filter((e) => e.group === "Actions").slice(-8)];
    const known = new Set(all.filter((e) => e.group === "Queues").map((e) => e.label));
    const some = [...all, ...more.filter((e) => !known.has(e.label))].map((e) => ({ e, rank: fit(e.label, letters) })).filter((x) => x.rank !== null);
    some.sort((a, b) => a.rank - b.rank);
    const best = some.slice(0, 30).map((x) => x.e);
    if (/^[0-9a-f]{6,32}$/.test(letters)) {
      best.unshift({ group: "Id", label: `Message ${letters}`, icon: "batches", run: () => openById(letters) });
    }
    best.push({ group: "Search", label: `Search messages for “${text.trim()}”`, icon: "search", run: () => navigate(href(["messages"], { q: text.trim() })) });
    return best;
  }, [letters, more]);
  useLayoutEffect(() => list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" }), [at, found]);
  const run = (entry) => {
    closeDialog();
    entry?.run();
  };
  const keys = (event) => {
    if (event.key === "ArrowDown" || (event.ctrlKey && event.key === "n")) setAt((at + 1) % found.length);
    else if (event.key === "ArrowUp" || (event.ctrlKey && event.key === "p")) setAt((at - 1 + found.length) % found.length);
    else if (event.key === "Enter") run(found[at]);
    else return;
    event.preventDefault();
  };
  return html`<div class="palette" role="dialog" aria-label="Go to or do">
    <input autofocus aria-label="Go to a screen, a queue, or do something" placeholder="Go to, or do…" value=${text} role="combobox" aria-expanded="true" aria-controls="palette-list" aria-activedescendant=${`pal-${at}`}
      onInput=${(event) => (setText(event.target.value), setAt(0))} onKeyDown=${keys} autocomplete="off" spellcheck=${false} />
    <ul id="palette-list" role="listbox" aria-label="Results" ref=${list}>
      ${found.map((e, i) => html`<${Fragment} key=${e.group + e.label}>
        ${(i === 0 || found[i - 1].group !== e.group) && html`<li class="group" role="presentation">${e.group}</li>`}
        <li id=${`pal-${i}`} role="option" aria-selected=${String(i === at)} class=${cls(i === at && "on")} onPointerMove=${() => at !== i && setAt(i)} onClick=${() => run(e)}>
          <${Icon} name=${e.icon} /><span class="cut">${e.label}</span>${e.hint && html`<span class="hint">${e.hint}</span>`}
        </li></${Fragment}>`)}
    </ul>
  </div>`;
}

/** @param {string} start */
async function openById(start) {
  const { rows } = await get("messages", { q: `id:${start}`, limit: 2 });
  navigate(rows.length === 1 ? href(["message", rows[0].id]) : href(["messages"], { q: `id:${start}` }));
}
