/** The last sixty runs of a cron as bars: height is how long it took, colour and shape how it ended. */
import { html } from "../ui.js";
import { fullTime, span } from "../format.js";

const RUNS = 60;

/**
 * @param {{runs: {run: number, atMs: number, ms: number | null, outcome: string | null, trigger: string}[], onRun: (run: number) => void, label: string}} props
 */
export function CronStrip({ runs, onRun, label }) {
  const shown = runs.slice(-RUNS);
  const longest = Math.max(1, ...shown.map((r) => r.ms ?? 0));
  const failed = shown.filter((r) => r.outcome && r.outcome !== "ok").length;
  const words = shown.length ? `${label}: last ${shown.length} runs, ${failed} failed` : `${label}: has not run yet`;
  const click = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const i = Math.floor(((event.clientX - box.left) / box.width) * RUNS) - (RUNS - shown.length);
    if (shown[i]) onRun(shown[i].run);
  };
  return html`<svg class="cron-strip" viewBox="0 0 360 26" width="360" height="26" role="img" aria-label=${words} onClick=${click} preserveAspectRatio="none">
    ${Array.from({ length: RUNS - shown.length }, (_, i) => html`<rect x=${i * 6 + 1} y="23" width="4" height="2" fill="var(--line-strong)" />`)}
    ${shown.map((r, n) => {
      const x = (RUNS - shown.length + n) * 6 + 1;
      const ok = r.outcome === "ok";
      const running = r.outcome === null || r.outcome === undefined;
      const h = 8 + 16 * Math.sqrt((r.ms ?? 0) / longest);
      const title = html`<title>${`${fullTime(r.atMs)}: ${running ? "running" : ok ? "ok" : r.outcome}${r.ms === null ? "" : `, ${span(r.ms)}`}${r.trigger === "clock" ? "" : `, ${r.trigger}`}`}</title>`;
      // A failed run is not only red: it stands to the full height and has a notch.
      return ok || running
        ? html`<rect x=${x} y=${25 - h} width="4" height=${h} rx="1" fill=${running ? "var(--in_flight)" : "var(--acked)"} opacity=${running ? 0.6 : 1}>${title}</rect>`
        : html`<g fill="var(--dead)">${title}<rect x=${x} y="1" width="4" height="5" rx="1" /><rect x=${x} y="8" width="4" height="17" rx="1" /></g>`;
    })}
  </svg>`;
}
