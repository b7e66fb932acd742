/** Small charts, drawn as SVG by hand. Every one says in words what it shows, for those who cannot see it. */
import { html, useRef, useState, useLayoutEffect } from "../ui.js";
import { clockTime, count, short, span } from "../format.js";

/** @param {(number | null)[]} values */
const top = (values) => Math.max(1, ...values.map((v) => v ?? 0));

/**
 * The last five minutes of a queue: a bar each ten seconds, failures above retries above acknowledgements.
 * @param {{spark: {bucketMs: number, fromMs: number, acked: number[], retried: number[], failed: number[]}, width?: number, height?: number}} props
 */
export function Spark({ spark, width = 120, height = 26 }) {
  const n = spark.acked.length;
  const sums = spark.acked.map((a, i) => a + (spark.retried[i] ?? 0) + (spark.failed[i] ?? 0));
  const max = top(sums);
  const step = width / n;
  const total = { acked: sum(spark.acked), retried: sum(spark.retried), failed: sum(spark.failed) };
  const words = `Last ${span(spark.bucketMs * n)}: ${count(total.acked)} acked, ${count(total.retried)} retried, ${count(total.failed)} failed`;
  const bars = [];
  let floor = ""; // what stands for buckets in which nothing happened, in one path
  for (let i = 0; i < n; i++) {
    let y = height;
    if (!sums[i]) floor += `M${i * step + 0.5} ${height - 0.75}h${step - 1}`;
    for (const [name, value] of /** @type {[string, number][]} */ ([["acked", spark.acked[i]], ["retrying", spark.retried[i]], ["dead", spark.failed[i]]])) {
      if (!value) continue;
      const h = Math.max(2, (value / max) * (height - 2));
      y -= h;
      bars.push(html`<rect x=${i * step + 0.5} y=${Math.max(0, y)} width=${step - 1} height=${h} class=${"f-" + name} />`);
    }
  }
  return html`<svg class="spark" width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} role="img" aria-label=${words}><title>${words}</title>${floor && html`<path d=${floor} stroke="var(--line-strong)" stroke-width="1.5" />`}${bars}</svg>`;
}

const sum = (/** @type {number[]} */ values) => values.reduce((a, b) => a + (b ?? 0), 0);

/**
 * Lines or stacked bars over time, with a crosshair.
 * @param {object} props
 * @param {string} props.title
 * @param {number} props.fromMs @param {number} props.bucketMs
 * @param {{name: string, color: string, values: (number | null)[], dash?: string}[]} props.series
 * @param {"lines" | "bars"} [props.kind] @param {(n: number) => string} [props.unit]
 */
export function Chart({ title, fromMs, bucketMs, series, kind = "lines", unit = short }) {
  const box = useRef(null);
  const [width, setWidth] = useState(560);
  const [at, setAt] = useState(-1);
  useLayoutEffect(() => {
    const watcher = new ResizeObserver(([entry]) => setWidth(Math.max(200, Math.round(entry.contentRect.width))));
    watcher.observe(box.current);
    return () => watcher.disconnect();
  }, []);
  const height = 150;
  const [padL, padB, padT] = [48, 20, 8];
  const n = Math.max(1, ...series.map((s) => s.values.length));
  const max = niceTop(kind === "bars" ? top(Array.from({ length: n }, (_, i) => sum(series.map((s) => s.values[i] ?? 0)))) : top(series.flatMap((s) => s.values)));
  const x = (i) => padL + ((width - padL - 6) * (i + (kind === "bars" ? 0 : 0.5))) / n;
  const y = (v) => padT + (height - padT - padB) * (1 - v / max);
  const shapes = [];
  if (kind === "bars") {
    const w = Math.max(1, (width - padL - 6) / n - 1);
    for (let i = 0; i < n; i++) {
      let below = 0;
      for (const s of series) {
        const v = s.values[i] ?? 0;
        if (!v) continue;
        shapes.push(html`<rect x=${x(i)} width=${w} y=${y(below + v)} height=${Math.max(1, y(below) - y(below + v))} fill=${s.color} />`);
        below += v;
      }
    }
  } else {
    for (const s of series) {
      let d = "";
      let pen = false;
      s.values.forEach((v, i) => {
        if (v === null || v === undefined) return void (pen = false);
        d += `${pen ? "L" : "M"}${x(i).toFixed(1)} ${y(v).toFixed(1)}${pen || s.values[i + 1] != null ? "" : "h.01"}`;
        pen = true;
      });
      shapes.push(html`<path d=${d} fill="none" stroke=${s.color} stroke-width="2" stroke-linejoin="round" stroke-linecap="round" stroke-dasharray=${s.dash} />`);
    }
  }
  const move = (event) => {
    const rect = event.currentTarget.getBoundingClientRect();
    const i = Math.floor(((event.clientX - rect.left - padL) / (width - padL - 6)) * n);
    setAt(i >= 0 && i < n ? i : -1);
  };
  const last = (s) => s.values.findLast((v) => v !== null && v !== undefined);
  const words = `${title}. ${series.map((s) => `${s.name}: latest ${last(s) === undefined ? "none" : unit(last(s))}, highest ${unit(Math.max(0, ...s.values.map((v) => v ?? 0)))}`).join("; ")}`;
  return html`<figure class="chart" ref=${box}>
    <figcaption class="row wrap"><h2 class="minor">${title}</h2><span class="grow"></span>
      ${series.map((s) => html`<span class="legend"><svg width="12" height="10" aria-hidden="true"><path d="M0 5h12" stroke=${s.color} stroke-width=${kind === "bars" ? 8 : 2.5} stroke-dasharray=${s.dash} /></svg>${s.name}${at >= 0 && html` <b>${s.values[at] == null ? "–" : unit(s.values[at])}</b>`}</span>`)}
      <span class="soft small chart-at">${at >= 0 ? clockTime(fromMs + at * bucketMs) : ""}</span>
    </figcaption>
    <svg width=${width} height=${height} role="img" aria-label=${words} onPointerMove=${move} onPointerLeave=${() => setAt(-1)}>
      ${[0, 0.5, 1].map((part) => html`<g><path d=${`M${padL} ${y(max * part)}H${width - 4}`} stroke="var(--line)" /><text x=${padL - 8} y=${y(max * part) + 4} text-anchor="end" class="axis">${unit(max * part)}</text></g>`)}
      ${[0, 0.5, 1].map((part) => html`<text x=${padL + (width - padL - 6) * part} y=${height - 4} text-anchor=${part === 0 ? "start" : part === 1 ? "end" : "middle"} class="axis">${clockTime(fromMs + part * n * bucketMs).slice(0, 5)}</text>`)}
      ${shapes}
      ${at >= 0 && html`<path d=${`M${x(at) + (kind === "bars" ? (width - padL - 6) / n / 2 : 0)} ${padT}V${height - padB}`} stroke="var(--soft)" stroke-dasharray="3 3" />`}
    </svg>
  </figure>`;
}

/** The next of 1, 2, 5, 10, 20, ... @param {number} v */
function niceTop(v) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, v)));
  for (const step of [1, 2, 4, 5, 10]) if (step * power >= v) return Math.max(step * power, 2);
  return v;
}
