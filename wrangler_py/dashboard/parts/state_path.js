/**
 * The way of a message, drawn for Cloudflare's rules: sent, maybe delayed, ready, in a batch; from there to one of three
 * doors, or back to wait for its next attempt. The way taken is in colour, the rest is grey.
 */
import { html, cls } from "../ui.js";
import { STATE_WORDS } from "./icons.js";
import { clockTime, span } from "../format.js";

const PLACES = {
  sent: [8, 62], delayed: [150, 8], ready: [150, 116], in_flight: [318, 62], retrying: [318, 166], acked: [500, 8], dead: [500, 62], dropped: [500, 116],
};
const SIZE = [122, 44];
const ROADS = [
  ["sent", "delayed"], ["sent", "ready"], ["delayed", "ready"], ["ready", "in_flight"], ["in_flight", "acked"], ["in_flight", "dead"], ["in_flight", "dropped"],
  ["in_flight", "retrying"], ["retrying", "ready"],
];
const NAMES = { ...STATE_WORDS, sent: "Sent", in_flight: "In a batch", dead: "Dead letter", retrying: "Waits to retry" };

/** @param {string} from @param {string} to */
function road(from, to) {
  const [w, h] = SIZE;
  const [ax, ay] = PLACES[from];
  const [bx, by] = PLACES[to];
  if (from === "delayed" && to === "ready") return `M${ax + w / 2} ${ay + h}V${by}`;
  if (from === "in_flight" && to === "retrying") return `M${ax + w / 2} ${ay + h}V${by}`;
  if (from === "retrying") return `M${ax} ${ay + h / 2}H${bx + w / 2 + 8}q-8 0-8-8V${by + h}`;
  const [x1, y1, x2, y2] = [ax + w, ay + h / 2, bx, by + h / 2];
  const m = (x1 + x2) / 2;
  return y1 === y2 ? `M${x1} ${y1}H${x2}` : `M${x1} ${y1}C${m} ${y1} ${m} ${y2} ${x2} ${y2}`;
}

/**
 * @param {{path: {state: string, atMs: number, untilMs?: number, attempt?: number, batch?: number, queue?: string, reason?: string}[], state: string, deadLetterQueue?: string | null}} props
 */
export function StatePath({ path, state, deadLetterQueue }) {
  const visits = new Map();
  const taken = new Set();
  path.forEach((step, i) => {
    visits.set(step.state, [...(visits.get(step.state) ?? []), step]);
    if (i) taken.add(path[i - 1].state + ">" + step.state);
    // A retry without a delay, or one whose wait is over, goes through "ready" without a step of its own.
    if (i && path[i - 1].state === "retrying" && step.state === "in_flight") ["retrying>ready", "ready>in_flight"].forEach((r) => taken.add(r));
    if (i && ["sent", "delayed"].includes(path[i - 1].state) && step.state === "in_flight") [path[i - 1].state + ">ready", "ready>in_flight"].forEach((r) => taken.add(r));
  });
  const passed = (name) => visits.has(name) || [...taken].some((r) => r.startsWith(name + ">"));
  const last = path.at(-1)?.state ?? state;
  const current = PLACES[state] && visits.has(state) ? state : last;
  const words = path.map((s) => `${NAMES[s.state] ?? s.state} at ${clockTime(s.atMs)}${s.attempt ? ` (attempt ${s.attempt})` : ""}`).join(", then ");
  return html`<div class="path-scroll" tabindex="0" role="img" aria-label=${"The way of this message: " + words}>
    <svg class="path" viewBox="0 0 630 218" width="630" height="218" aria-hidden="true">
      <defs>
        <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 8 4 0 8z" fill="var(--line-strong)" /></marker>
        <marker id="arrow-on" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 8 4 0 8z" fill="var(--text)" /></marker>
      </defs>
      ${ROADS.map(([a, b]) => {
        const on = taken.has(a + ">" + b);
        return html`<path d=${road(a, b)} fill="none" class=${cls("road", on && "on")} marker-end=${on ? "url(#arrow-on)" : "url(#arrow)"} />`;
      })}
      ${Object.entries(PLACES).map(([name, [x, y]]) => {
        const on = passed(name);
        const times = visits.get(name)?.length ?? 0;
        const step = visits.get(name)?.at(-1);
        const below = step ? (step.untilMs ? (step.untilMs > step.atMs ? `for ${span(step.untilMs - step.atMs)}` : "not at all") : clockTime(step.atMs)) : name === "dead" && !deadLetterQueue ? "no queue set" : on ? "passed" : "–";
        return html`<g class=${cls("place", "p-" + name, on && "on", name === current && "here")}>
          <rect x=${x} y=${y} width=${SIZE[0]} height=${SIZE[1]} rx="8" />
          <g transform=${`translate(${x + 11} ${y + 10})`}><${MiniShape} state=${name} /></g>
          <text x=${x + 29} y=${y + 19} class="name">${NAMES[name]}</text>
          <text x=${x + 29} y=${y + 35} class="when">${below}</text>
          ${times > 1 && html`<text x=${x + SIZE[0] - 9} y=${y + 35} class="when" text-anchor="end">×${times}</text>`}
        </g>`;
      })}
    </svg>
  </div>`;
}

/** The shapes of icons.js without an svg of their own. @param {{state: string}} props */
function MiniShape({ state }) {
  switch (state) {
    case "ready": return html`<circle cx="6" cy="6" r="4" />`;
    case "delayed": return html`<g class="stroke"><circle cx="6" cy="6" r="4.6" /><path d="M6 3.4V6l1.8 1.2" /></g>`;
    case "in_flight": return html`<g class="stroke"><path d="M2 2h8v8H2z" /></g>`;
    case "retrying": return html`<g class="stroke"><path d="M10.3 6a4.3 4.3 0 1 1-1.3-3.1M9.4.8v2.4H7" /></g>`;
    case "acked": return html`<g class="stroke"><path d="M2 6.4 4.8 9.2 10.2 3" /></g>`;
    case "dead": return html`<g class="stroke"><path d="m2.6 2.6 6.8 6.8m0-6.8-6.8 6.8" /></g>`;
    case "sent": return html`<g class="stroke"><path d="M1.5 6h8.4M6.8 2.9 9.9 6 6.8 9.1" /></g>`;
    default: return html`<rect x="2" y="5" width="8" height="2" rx="1" />`;
  }
}
