/** Icons. Every state has a shape of its own, so that colour never stands alone. */
import { html, cls } from "../ui.js";

/** What a state is called on the page. */
export const STATE_WORDS = {
  ready: "Ready",
  delayed: "Delayed",
  in_flight: "In flight",
  retrying: "Retrying",
  acked: "Acked",
  dead: "Dead",
  dropped: "Dropped",
  expired: "Expired",
  purged: "Purged",
  released: "Given back",
  discarded: "Discarded",
  paused: "Paused",
  pulled: "Pulled",
};

const SHAPES = {
  ready: html`<circle cx="6" cy="6" r="4" fill="var(--ready)" />`,
  delayed: html`<g fill="none" stroke="var(--delayed)" stroke-width="1.6" stroke-linecap="round"><circle cx="6" cy="6" r="4.6" /><path d="M6 3.4V6l1.8 1.2" /></g>`,
  in_flight: html`<g fill="none" stroke-width="2" stroke-linecap="round"><circle cx="6" cy="6" r="4.4" stroke="var(--in_flight)" opacity=".3" /><path class="spin" d="M6 1.6A4.4 4.4 0 0 1 10.4 6" stroke="var(--in_flight)" /></g>`,
  retrying: html`<g fill="none" stroke="var(--retrying)" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round"><path d="M10.3 6a4.3 4.3 0 1 1-1.3-3.1" /><path d="M9.4.8v2.4H7" /></g>`,
  acked: html`<path d="M2 6.4 4.8 9.2 10.2 3" fill="none" stroke="var(--acked)" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" />`,
  dead: html`<path d="m2.6 2.6 6.8 6.8m0-6.8-6.8 6.8" stroke="var(--dead)" stroke-width="2.1" stroke-linecap="round" />`,
  paused: html`<path d="M4 2.4v7.2m4-7.2v7.2" stroke="var(--paused)" stroke-width="2.2" stroke-linecap="round" />`,
  other: html`<rect x="2" y="5" width="8" height="2" rx="1" fill="var(--paused)" />`,
};

/** @param {{state: string, size?: number}} props */
export const Shape = ({ state, size = 12 }) =>
  html`<svg width=${size} height=${size} viewBox="0 0 12 12" aria-hidden="true">${SHAPES[state] ?? SHAPES.other}</svg>`;

/** Shape and word of a state. @param {{state: string, note?: any}} props */
export const State = ({ state, note }) =>
  html`<span class=${cls("state", "s-" + state)}><${Shape} state=${state} />${STATE_WORDS[state] ?? state}${note && html`<span class="soft">${note}</span>`}</span>`;

const PATHS = {
  now: "M2 8h2.6L6.4 3l3 10 1.9-5H14",
  queues: "M2.5 4h11M2.5 8h11M2.5 12h7",
  batches: "M2.5 2.5h4.6v4.6H2.5zM8.9 2.5h4.6v4.6H8.9zM2.5 8.9h4.6v4.6H2.5zM8.9 8.9h4.6v4.6H8.9z",
  crons: "M3 3.5h10v10H3zM3 6.5h10M5.6 2v2.4M10.4 2v2.4",
  alarms: "M8 3.4a4.8 4.8 0 1 1 0 9.6 4.8 4.8 0 0 1 0-9.6zM8 5.6v2.8l1.7 1.1M2.2 4.2 4.4 2.4m9.4 1.8-2.2-1.8",
  traces: "M2 3.5h7M5 8h6M8 12.5h6",
  limits: "M2.5 12a5.8 5.8 0 1 1 11 0M8 11l2.6-4",
  state: "M2.8 4.2C2.8 3 5.1 2.2 8 2.2s5.2.8 5.2 2-2.3 2-5.2 2-5.2-.8-5.2-2zm0 0v7.6c0 1.2 2.3 2 5.2 2s5.2-.8 5.2-2V4.2M2.8 8c0 1.2 2.3 2 5.2 2s5.2-.8 5.2-2",
  search: "M7 2.8a4.2 4.2 0 1 1 0 8.4 4.2 4.2 0 0 1 0-8.4zM10.2 10.2 13.4 13.4",
  sun: "M8 5.2a2.8 2.8 0 1 1 0 5.6 2.8 2.8 0 0 1 0-5.6zM8 1.6v1.2m0 10.4v1.2M1.6 8h1.2m10.4 0h1.2M3.5 3.5l.8.8m7.4 7.4.8.8m0-9-.8.8m-7.4 7.4-.8.8",
  moon: "M13 9.6A5.6 5.6 0 0 1 6.4 3a5.4 5.4 0 1 0 6.6 6.6z",
  help: "M6 6.2a2 2 0 1 1 2.9 1.8c-.6.3-.9.7-.9 1.4M8 12v.1M8 1.8a6.2 6.2 0 1 1 0 12.4A6.2 6.2 0 0 1 8 1.8z",
  copy: "M5.5 5.5h7.7v7.7H5.5zM10.5 5.3V2.8H2.8v7.7h2.5",
  play: "M4.5 2.8v10.4L13 8z",
  pause: "M5 3v10m6-10v10",
  replay: "M13 8a5 5 0 1 1-1.6-3.7M13 2.2v2.6h-2.6",
  edit: "M3 13l.6-2.8 7-7 2.2 2.2-7 7zM9.4 4.4l2.2 2.2",
  trash: "M3 4.5h10M6.2 4.2V2.6h3.6v1.6M4.4 4.6l.6 8.8h6l.6-8.8",
  send: "M2.4 7.6 13.6 2.4 9.8 13.6 7.4 8.8z",
  forward: "M3 3v10l6-5zM12 3v10",
  freeze: "M8 1.8v12.4M2.6 4.9l10.8 6.2m0-6.2L2.6 11.1",
  down: "m4 6.2 4 4 4-4",
  left: "m9.8 3.6-4.4 4.4 4.4 4.4",
  rightward: "m6.2 3.6 4.4 4.4-4.4 4.4",
  up: "M8 13V3.4M3.8 7.4 8 3.2l4.2 4.2",
  x: "m4 4 8 8m0-8-8 8",
  check: "M3 8.4 6.4 11.8 13 4.6",
  warn: "M8 2.2 14.4 13.4H1.6zM8 6.6v3.2M8 11.6v.1",
  code: "m5.6 4.4-3.4 3.6 3.4 3.6m4.8-7.2 3.4 3.6-3.4 3.6",
  request: "M2.5 8h10.6M9.4 4.2 13.2 8l-3.8 3.8",
  more: "M3.4 8h.1m4.4 0h.1m4.4 0h.1",
  filter: "M2.5 3.4h11L9.4 8.6v4.2l-2.8-1.4V8.6z",
  worker: "M3 3h10v10H3zM6 6h4v4H6z",
  link: "M6.6 9.4 9.4 6.6M7 4.6 8.6 3a2.9 2.9 0 0 1 4.2 4.2l-1.6 1.6M9 11.4 7.4 13a2.9 2.9 0 0 1-4.2-4.2l1.6-1.6",
};

/** @param {{name: string, size?: number}} props */
export const Icon = ({ name, size = 16 }) =>
  html`<svg width=${size} height=${size} viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d=${PATHS[name] ?? PATHS.more} /></svg>`;

export const Logo = () =>
  html`<svg width="20" height="20" viewBox="0 0 20 20" aria-hidden="true"><rect width="20" height="20" rx="5.5" fill="var(--solid)" /><path d="M4.6 7 7 13.4 10 8l3 5.4L15.4 7" fill="none" stroke="var(--on-solid)" stroke-width="1.9" stroke-linecap="round" stroke-linejoin="round" /></svg>`;
