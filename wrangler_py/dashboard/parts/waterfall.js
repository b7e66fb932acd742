/**
 * A trace as bars over time: solid is work, hatched is waiting. Drag over the bars to zoom in; the long silences between
 * attempts can be folded away.
 */
import { html, cls, useMemo, useRef, useState } from "../ui.js";
import { clockTime, exactTime, span } from "../format.js";
import { Shape } from "./icons.js";

/**
 * @typedef {{id: string, parent: string | null, kind: string, name: string, startMs: number, endMs: number | null, waiting: boolean, status: string, detail?: any, logs?: any[]}} Span
 */

const WORDS = { request: "request", cron: "cron", alarm: "alarm", waitUntil: "waitUntil", message: "message", delay: "delay", queued: "queued", attempt: "attempt", deadLetter: "dead letter", replay: "replay" };

/** Spans in the order of a tree, with their depth. @param {Span[]} spans */
export function inTree(spans) {
  const ids = new Set(spans.map((s) => s.id));
  const children = new Map();
  for (const s of spans) {
    const parent = s.parent && ids.has(s.parent) && s.parent !== s.id ? s.parent : null;
    children.set(parent, [...(children.get(parent) ?? []), s]);
  }
  for (const list of children.values()) list.sort((a, b) => a.startMs - b.startMs || Number(a.waiting) - Number(b.waiting));
  const out = [];
  const seen = new Set();
  const todo = (children.get(null) ?? []).map((s) => [s, 0]).reverse();
  while (todo.length) {
    const [s, depth] = todo.pop();
    if (seen.has(s.id)) continue;
    seen.add(s.id);
    out.push({ span: s, depth });
    for (const child of [...(children.get(s.id) ?? [])].reverse()) todo.push([child, depth + 1]);
  }
  return out;
}

/**
 * A scale from times to 0..1. With `fold`, stretches in which nobody works count as little as the shortest work.
 * @param {Span[]} spans @param {number} from @param {number} to @param {boolean} fold
 */
export function scale(spans, from, to, fold) {
  const width = Math.max(1, to - from);
  if (!fold) return (/** @type {number} */ ms) => Math.min(1, Math.max(0, (ms - from) / width));
  const marks = [...new Set([from, to, ...spans.flatMap((s) => [s.startMs, s.endMs ?? to])])].filter((m) => m >= from && m <= to).sort((a, b) => a - b);
  const busy = (a, b) => spans.some((s) => !s.waiting && s.kind !== "message" && s.startMs <= a && (s.endMs ?? to) >= b);
  let sum = 0;
  const at = [0];
  for (let i = 1; i < marks.length; i++) {
    const length = marks[i] - marks[i - 1];
    sum += busy(marks[i - 1], marks[i]) ? Math.sqrt(length) + 4 : Math.log1p(length) * 1.5 + 1;
    at.push(sum);
  }
  return (ms) => {
    if (ms <= marks[0]) return 0;
    if (ms >= marks[marks.length - 1]) return 1;
    let i = 1;
    while (marks[i] < ms) i++;
    const part = (ms - marks[i - 1]) / (marks[i] - marks[i - 1]);
    return (at[i - 1] + part * (at[i] - at[i - 1])) / (sum || 1);
  };
}

/**
 * @param {{spans: Span[], startMs: number, endMs: number, picked: string | null, onPick: (id: string) => void}} props
 */
export function Waterfall({ spans, startMs, endMs, picked, onPick }) {
  const end = Math.max(endMs, ...spans.map((s) => s.endMs ?? 0), startMs + 1);
  const waits = spans.some((s) => s.waiting);
  const [zoom, setZoom] = useState(/** @type {[number, number] | null} */ (null));
  const [drag, setDrag] = useState(/** @type {[number, number] | null} */ (null));
  const [fold, setFold] = useState(true);
  const lane = useRef(null);
  const [from, to] = zoom ?? [startMs, end];
  const rows = useMemo(() => inTree(spans), [spans]);
  const x = useMemo(() => scale(spans, from, to, fold && waits && !zoom), [spans, from, to, fold, waits, zoom]);
  const back = (part) => {
    // The time at a part of the width: by halving, as the folded scale has no simple inverse.
    let [a, b] = [from, to];
    for (let i = 0; i < 40; i++) {
      const m = (a + b) / 2;
      if (x(m) < part) a = m;
      else b = m;
    }
    return a;
  };
  const part = (event) => {
    const box = lane.current.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  };
  const down = (event) => {
    if (event.button) return;
    const p = part(event);
    setDrag([p, p]);
    event.currentTarget.setPointerCapture(event.pointerId);
  };
  const up = () => {
    if (drag && Math.abs(drag[1] - drag[0]) > 0.01) setZoom([back(Math.min(...drag)), back(Math.max(...drag))]);
    setDrag(null);
  };
  return html`<div class="waterfall">
    <div class="row wrap wf-tools">
      <span class="legend"><svg width="18" height="10" aria-hidden="true"><rect width="18" height="10" rx="2" class="wf-work" /></svg>work</span>
      <span class="legend"><span class="wf-hatch-sample"></span>waiting</span>
      <span class="grow"></span>
      ${zoom ? html`<button type="button" class="btn small" onClick=${() => setZoom(null)}>Whole trace</button>` : html`<span class="soft small wide-hint">drag over the scale to zoom</span>`}
      ${waits && !zoom && html`<label class="row small"><input type="checkbox" class="check" checked=${fold} onChange=${() => setFold(!fold)} /> shorten waits</label>`}
    </div>
    <div class="wf-head">
      <div></div>
      <div class="wf-scale" ref=${lane} onPointerDown=${down} onPointerMove=${(e) => drag && setDrag([drag[0], part(e)])} onPointerUp=${up}>
        ${[0, 0.25, 0.5, 0.75, 1].map((p) => html`<span class=${cls(p === 0 && "first", p === 1 && "last", p % 0.5 !== 0 && "quarter")} style=${{ left: p * 100 + "%" }} title=${exactTime(back(p))}>${p === 0 ? clockTime(from) : "+" + span(Math.round(back(p) - from))}</span>`)}
        ${drag && html`<i class="wf-brush" style=${{ left: Math.min(...drag) * 100 + "%", width: Math.abs(drag[1] - drag[0]) * 100 + "%" }}></i>`}
      </div>
    </div>
    <ul class="wf-rows" aria-label="Spans">
      ${rows.map(({ span: s, depth }) => {
        const a = x(s.startMs);
        const b = x(s.endMs ?? to);
        const gone = (s.endMs ?? to) < from || s.startMs > to;
        const length = (s.endMs ?? end) - s.startMs;
        const words = `${WORDS[s.kind] ?? s.kind} ${s.name}, ${s.waiting ? "waits" : "takes"} ${span(length)}, ${s.status}`;
        return html`<li key=${s.id}>
          <button type="button" class=${cls("wf-row", picked === s.id && "picked")} aria-pressed=${String(picked === s.id)} title=${words} onClick=${() => onPick(s.id)}>
            <span class="wf-name" style=${{ paddingLeft: Math.min(depth, 8) * 14 + "px" }}><${Shape} state=${shapeOf(s)} /><span class="cut">${s.name}</span><span class="only-read">${s.waiting ? ", waits" : ""}, ${s.status}, </span></span>
            <span class="wf-lane">
              ${!gone && html`<i class=${cls("wf-bar", s.waiting && "wait", s.kind === "message" && "whole", "k-" + s.status)} style=${{ left: a * 100 + "%", width: Math.max(0, b - a) * 100 + "%" }}></i>
              <i class=${cls("wf-time", b > 0.72 && a < 0.15 && "inside")} style=${b <= 0.72 ? { left: b * 100 + "%" } : { right: (1 - (a < 0.15 ? b : a)) * 100 + "%" }}>${s.endMs === null ? "running" : span(length)}</i>`}
            </span>
          </button>
        </li>`;
      })}
    </ul>
  </div>`;
}

/** @param {Span} s */
export function shapeOf(s) {
  if (s.kind === "delay") return "delayed";
  if (s.kind === "queued") return "ready";
  if (s.kind === "deadLetter") return "dead";
  if (s.kind === "replay") return "retrying";
  if (s.status === "running") return "in_flight";
  return s.status === "error" ? "dead" : s.status === "retry" ? "retrying" : "acked";
}
