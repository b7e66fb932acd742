/** The strip that never leaves the screen: link, workers, counters (each a filter), next cron, the clock and what moves it. */
import { html, cls, slim, useCell, useEffect, useRef, useState } from "../ui.js";
import { beat, clock, link, now, overview, togglePause } from "../live.js";
import { clockTime, day, plural, short, shortest, span, timeMode } from "../format.js";
import { href, useRoute } from "../router.js";
import { session } from "../api.js";
import { Icon, Logo, Shape, STATE_WORDS } from "./icons.js";
import { openMenu } from "./floating.js";
import { act, advanceCall, copyAs, freezeCall, nextCall, realCall, resumeCall, whyNot } from "../actions.js";
import { Countdown } from "./times.js";

const LINK_WORDS = { live: "live", connecting: "…", gone: "gone", paused: "paused" };
const COUNTERS = [["ready", "ready"], ["delayed", "delayed"], ["in_flight", "inFlight"], ["retrying", "retrying"], ["dead", "dead"]];

/** What a move of the clock did, in words. @param {any} a */
const moved = (a) => (a.stopped ? `The clock was stopped at ${clockTime(a.nowMs)}.` : a.fired === null ? "Nothing is due: no message waits and no cron is planned." : `The clock shows ${day(a.nowMs)} ${clockTime(a.nowMs)}.`);

/** Carry out a move; while it lasts the buttons say so. @param {import("../actions.js").Call} call */
export const moveClock = (call) => act(call, (a) => moved({ ...a, ...(a.clock ?? {}) }));

export function Strip() {
  const state = useCell(link);
  const o = useCell(overview);
  const c = useCell(clock);
  const route = useRoute();
  useCell(timeMode);
  const virtual = !!c && (c.frozen || c.moving || Math.abs(c.aheadMs) >= 1000);
  const workers = o?.workers ?? [];
  const broken = workers.filter((w) => w.error).length;
  const up = workers.filter((w) => w.state === "up").length;
  const current = route.parts[0] === "messages" ? (route.params.get("q") ?? "") : "";
  const isSlim = useCell(slim);
  const strip = useFit([o, c]);
  return html`<header ref=${strip} class=${cls("strip", virtual && "virtual")}>
    <a class="brand" href=${href([])} aria-label="wpy: Now"><${Logo} /><span>wpy</span></a>
    ${session.readonly && html`<span class="tag" title=${whyNot()}>read-only</span>`}
    <button type="button" class="item linked" onClick=${togglePause} title=${state === "live" ? "Live. Press to hold all updates (p)" : state === "paused" ? "Updates are held. Press to go on (p)" : "The session does not answer; trying again"}>
      <span class=${cls("live-dot", state)}></span><span class=${state === "live" || state === "connecting" ? "word" : ""}>${LINK_WORDS[state]}</span>
    </button>
    <a class="item workers" href=${href(["limits"])} title=${workers.map((w) => `${w.name}: ${w.state}`).join("\n")}>
      <span class=${cls(broken && "bad")}><${Icon} name="worker" size=${15} /></span>${broken ? html`<b class="bad">${broken} broken</b>` : html`<span><span class="word">workers up </span><b>${up}</b></span>`}
    </a>
    <span class="sep"></span>
    ${COUNTERS.map(([name, key]) => {
      const n = o?.counts?.[key] ?? 0;
      const q = `state:${name}`;
      return html`<a key=${name} class=${cls("item counter", !n && "zero")} href=${href(["messages"], { q: current === q ? null : q })} aria-current=${String(current === q)} title=${`${STATE_WORDS[name]}: show these ${plural(n, "message")}`}>
        <${Shape} state=${name} /><span class="word">${STATE_WORDS[name]} </span><b class="n">${isSlim ? shortest(n) : short(n)}</b>
      </a>`;
    })}
    <span class="sep"></span>
    ${o?.nextCron && html`<a class="item next-cron" href=${href(["crons"])} title=${`Next cron: ${o.nextCron.cron} of ${o.nextCron.worker}`}><${Icon} name="crons" size=${15} /><span class="cut mono">${o.nextCron.cron}</span><span class="soft">in</span><${Countdown} ms=${o.nextCron.atMs} /></a><span class="sep"></span>`}
    <${ClockBox} c=${c} virtual=${virtual} />
  </header>`;
}

const TIGHT = ["", "words", "words cron", "words cron buttons"];

/**
 * What the strip leaves out so that nothing of it is cut off, beside what its width alone says (css/frame.css): large counters and
 * a clock that is far ahead take room. It leaves out no less again until the window has another width: nothing jumps to and fro.
 * @param {unknown[]} deps
 */
function useFit(deps) {
  const strip = useRef(/** @type {HTMLElement | null} */ (null));
  const level = useRef({ width: 0, tight: 0 });
  const fit = () => {
    const box = strip.current;
    if (!box) return;
    if (box.clientWidth !== level.current.width) level.current = { width: box.clientWidth, tight: 0 };
    for (let { tight } = level.current; tight < TIGHT.length; tight++) {
      level.current.tight = tight;
      box.dataset.tight = TIGHT[tight];
      const cron = box.querySelector(".next-cron");
      if (box.scrollWidth <= box.clientWidth && (!cron || cron.scrollWidth <= cron.clientWidth)) break;
    }
  };
  useEffect(fit, deps);
  useEffect(() => {
    addEventListener("resize", fit);
    return () => removeEventListener("resize", fit);
  }, []);
  return strip;
}

/** @param {{c: any, virtual: boolean}} props */
function ClockBox({ c, virtual }) {
  useCell(beat);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    if (c && !c.moving) setBusy(false);
  }, [c]);
  if (!c) return html`<div class="clock"></div>`;
  const off = !!whyNot();
  const run = (call) => async () => {
    setBusy(true);
    await (call === freezeCall || call === resumeCall || call === realCall ? act(call, clockWords) : moveClock(call));
    setBusy(false);
  };
  const twin = (call) => (event) => {
    event.preventDefault();
    copyAs(event.currentTarget, call);
  };
  const button = (label, call, title) =>
    html`<button type="button" class="btn wide-only" disabled=${off || busy || c.moving} title=${whyNot() ?? `${title}. Right click: as a command`} onClick=${run(call)} onContextMenu=${twin(call)}>${label}</button>`;
  const toggle = c.frozen ? resumeCall : freezeCall;
  const menu = (event) =>
    openMenu(event.currentTarget, [
      { label: c.frozen ? "Let the clock run on" : "Freeze the clock", icon: c.frozen ? "play" : "freeze", run: run(toggle), disabled: off },
      { label: "Go to the next event", icon: "forward", hint: "g .", run: run(nextCall), disabled: off },
      { label: "Advance 1 minute", icon: "rightward", run: run(advanceCall(60)), disabled: off },
      { label: "Advance 1 hour", icon: "rightward", run: run(advanceCall(3600)), disabled: off },
      { label: "Advance 1 day", icon: "rightward", run: run(advanceCall(86400)), disabled: off },
      { label: "Run until nothing waits", icon: "check", run: run({ path: "clock/run-until-idle", body: {} }), disabled: off },
      c.moving && { label: "Stop the move", icon: "x", run: () => act({ path: "clock/stop" }, () => "Stopped.") },
      virtual && { label: "Back to the wall clock", icon: "replay", run: run(realCall), disabled: off },
      { line: true },
      { label: `Show times in ${timeMode.get() === "utc" ? "local time" : "UTC"}`, icon: "now", run: () => timeMode.set(timeMode.get() === "utc" ? "local" : "utc") },
      { label: "Copy these as commands…", icon: "code", run: () => copyAs(document.querySelector(".strip .clock"), [{ label: "Next event", call: nextCall }, { label: "Advance 1 hour", call: advanceCall(3600) }, { label: c.frozen ? "Run on" : "Freeze", call: toggle }]) },
    ]);
  const distance = span(Math.abs(c.aheadMs));
  const kind = c.moving ? "moving" : c.frozen ? "frozen" : virtual ? html`<span class="in-full">${distance} ${c.aheadMs > 0 ? "ahead" : "behind"}</span><span class="in-short">${c.aheadMs > 0 ? "+" : "−"}${distance.split(" ").slice(0, 2).join(" ")}</span>` : "real";
  return html`<div class="clock" role="group" aria-label="Clock">
    <button type="button" class="item" onClick=${menu} aria-haspopup="menu" title="The session's clock. Press for all that moves it">
      <span class="time"><span class="date"><span class="year">${day(now()).slice(0, 5)}</span>${day(now()).slice(5)} </span>${clockTime(now())}<span class="date"> ${timeMode.get() === "utc" ? "UTC" : "local"}</span></span>
      <span class=${cls("tag", virtual && "amber")}>${kind}</span><span class="menu-clock"><${Icon} name="down" size=${14} /></span>
    </button>
    ${button(c.frozen ? "run" : "freeze", toggle, c.frozen ? "Let the clock run on" : "Stand still: nothing fires until the clock is moved")}
    ${button("+1m", advanceCall(60), "Advance one minute: all that is due on the way happens, in order")}
    ${button("+1h", advanceCall(3600), "Advance one hour")}
    ${button("+1d", advanceCall(86400), "Advance one day")}
    ${button(html`next event <${Icon} name="forward" size=${13} />`, nextCall, c.nextMs ? `Go to the next event, ${day(c.nextMs)} ${clockTime(c.nextMs)}` : "Go to the next event")}
  </div>`;
}

const clockWords = (/** @type {any} */ answer) => {
  const a = { ...answer, ...(answer.clock ?? {}) };
  return a.frozen ? `The clock stands still at ${day(a.nowMs)} ${clockTime(a.nowMs)}: nothing fires until it is moved.` : `The clock runs on from ${day(a.nowMs)} ${clockTime(a.nowMs)}.`;
};

