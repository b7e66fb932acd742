/**
 * What is going on in the session, kept fresh: the link to it (server-sent events), its clock, the overview, and queries
 * that are asked again when something has happened that concerns them.
 *
 * A busy session changes thousands of times a second; a query waits at least `GAP_MS` between two askings, or as long as the
 * session asks for (`paceMs` of its frames), and twenty times as long as it worked on the last answer, so that the page
 * costs the session little however large the answer is.
 */
import { EVENTS, get, renewToken, spent } from "./api.js";
import { cell, useEffect, useRef, useState } from "./ui.js";

const GAP_MS = 400;
const COST = 20;
const BACK_MS = [500, 1000, 2000, 3000];

/** "live", "connecting", "gone" (the session does not answer) or "paused" (by the person, or the tab is hidden). */
export const link = cell("connecting");
/** @type {ReturnType<typeof cell<any>>} */
export const overview = cell(null);
/** The clock as last told; `at` is performance.now() of then. @type {ReturnType<typeof cell<any>>} */
export const clock = cell(null);
/** Counts the moments when everything must be asked again. */
const epoch = cell(0);
/** A beat a second, for what says "12 s ago". */
export const beat = cell(0);

/** The session's time, now. */
export function now() {
  const c = clock.get();
  if (!c) return Date.now();
  return c.frozen && !c.moving ? c.nowMs : c.nowMs + (c.frozen ? 0 : performance.now() - c.at);
}

/** @param {any} told */
const tellClock = (told) => clock.set({ ...told, at: performance.now() });

/** @typedef {{seq: number, queues?: string[], kinds?: Record<string, number>, counts?: any, events?: any[], skipped?: number, paceMs?: number}} Frame */
let paceMs = 0;
/** @type {Set<(frame: Frame) => void>} */
const listeners = new Set();

/** @param {(frame: Frame) => void} listener */
export function onChange(listener) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

// The link --------------------------------------------------------------------------------------------------------

/** @type {EventSource | null} */
let source = null;
let failures = 0;
let timer = 0;
let userPaused = false;
let everLinked = false;

function open() {
  clearTimeout(timer);
  source?.close();
  source = new EventSource(EVENTS);
  source.onopen = async () => {
    failures = 0;
    if (everLinked) {
      await renewToken();
      epoch.set(epoch.get() + 1);
    }
    everLinked = true;
    link.set("live");
  };
  source.onerror = () => {
    source?.close();
    source = null;
    link.set(failures > 0 || everLinked ? "gone" : "connecting");
    timer = setTimeout(open, BACK_MS[Math.min(failures, BACK_MS.length - 1)]);
    failures += 1;
  };
  source.addEventListener("change", (event) => {
    const frame = /** @type {Frame} */ (JSON.parse(/** @type {MessageEvent} */ (event).data));
    paceMs = frame.paceMs ?? 0;
    const known = overview.get();
    if (known && frame.counts) overview.set({ ...known, counts: frame.counts });
    for (const listener of [...listeners]) listener(frame);
  });
  source.addEventListener("clock", (event) => tellClock(JSON.parse(/** @type {MessageEvent} */ (event).data)));
}

function shut() {
  clearTimeout(timer);
  source?.close();
  source = null;
  link.set("paused");
}

function decide() {
  if (userPaused || document.hidden) shut();
  else if (link.get() === "paused" || !source) {
    link.set("connecting");
    open();
  }
}

/** Hold all live updates, or let them come again. */
export function togglePause() {
  userPaused = !userPaused;
  decide();
}

export function start() {
  document.addEventListener("visibilitychange", decide);
  setInterval(() => document.hidden || beat.set(beat.get() + 1), 1000);
  decide();
  keep(() => get("overview"), (answer) => {
    tellClock(answer.clock);
    overview.set(answer);
  }, { on: [""], every: 5000 });
}

/** Ask everything again, now. */
export const refresh = () => epoch.set(epoch.get() + 1);

// Queries ---------------------------------------------------------------------------------------------------------

/**
 * @typedef {object} Freshness
 * @property {string[]} [on] beginnings of the kinds of events that concern the query; "" is every kind
 * @property {string} [queue] only events about this queue
 * @property {number} [every] ask again after so long in any case (ms)
 */

/** @param {Frame} frame @param {Freshness} freshness */
function concerns(frame, { on = [], queue }) {
  if (queue !== undefined && frame.queues?.length && !frame.queues.includes(queue)) return false;
  return Object.keys(frame.kinds ?? {}).some((kind) => on.some((start) => kind.startsWith(start)));
}

/**
 * Ask once, and again whenever it may have changed. Returns the function that ends it and the one that asks at once.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} load @param {(answer: T) => void} told @param {Freshness} freshness
 * @param {(error: Error) => void} [failed]
 */
export function keep(load, told, freshness, failed = () => {}) {
  let ended = false;
  let running = false;
  let wanted = false;
  let wait = 0;
  let earliest = 0;
  const abort = new AbortController();
  const run = async () => {
    if (ended) return;
    if (running) {
      wanted = true;
      return;
    }
    running = true;
    wanted = false;
    spent.delete(abort.signal);
    try {
      const answer = await load(abort.signal);
      if (!ended) told(answer);
    } catch (error) {
      if (!ended) failed(/** @type {Error} */ (error));
    }
    running = false;
    earliest = performance.now() + Math.max(GAP_MS, paceMs, COST * (spent.get(abort.signal) ?? 0));
    if (wanted) soon();
  };
  const soon = () => {
    if (ended || wait) return;
    wait = setTimeout(() => {
      wait = 0;
      // What is paused, or hidden, asks for nothing; everything is asked again when it goes on.
      if (link.get() !== "paused") run();
    }, Math.max(0, earliest - performance.now()));
  };
  const parts = [
    onChange((frame) => concerns(frame, freshness) && soon()),
    epoch.watch(run),
  ];
  if (freshness.every) {
    const ticking = setInterval(() => link.get() === "live" && soon(), freshness.every);
    parts.push(() => clearInterval(ticking));
  }
  run();
  const end = () => {
    ended = true;
    clearTimeout(wait);
    abort.abort();
    for (const part of parts) part();
  };
  return { end, run };
}

/**
 * A query in a component. `data` stays what it was until the next answer is there, also while `deps` change.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} load @param {unknown[]} deps @param {Freshness} [freshness]
 * @returns {{data: T | null, error: Error | null, loading: boolean, reload: () => void}}
 */
export function useQuery(load, deps, freshness = {}) {
  const [state, setState] = useState({ data: null, error: null, loading: true });
  const kept = useRef(null);
  useEffect(() => {
    setState((old) => ({ ...old, loading: true }));
    kept.current = keep(
      load,
      (data) => setState({ data, error: null, loading: false }),
      freshness,
      (error) => setState((old) => ({ ...old, error, loading: false })),
    );
    return kept.current.end;
  }, deps);
  return { ...state, reload: () => kept.current?.run() };
}
