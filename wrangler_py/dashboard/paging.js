/**
 * A long list out of pages by cursor. Pages are loaded as they come into sight, and kept fresh while they are. While the
 * list is held (pointer over it, rows selected, scrolled down) rows change in place and nothing moves: new ones are
 * counted, and shown when the person says so.
 */
import { useEffect, useRef, useState } from "./ui.js";
import { keep } from "./live.js";

const FIRST = 100;
const FAR = 1000;

/** @typedef {{id: string, [name: string]: any}} Row */

/**
 * @template {Row} R
 * @typedef {object} Paged
 * @property {R[]} rows those that are loaded
 * @property {number} total of the whole list
 * @property {boolean} exact whether `total` is
 * @property {number} fresh how many new rows wait to be shown
 * @property {Error | null} error
 * @property {boolean} loading nothing was loaded yet
 * @property {number} tookMs what the search took in the session
 * @property {(from: number, to: number) => void} want the rows in sight
 * @property {(on: boolean) => void} hold
 * @property {() => void} show the new rows, from the top
 */

/**
 * @template {Row} R
 * @param {(page: {cursor: string | null, limit: number}, signal?: AbortSignal) => Promise<{rows: R[], cursor: string | null, total?: number, totalIsExact?: boolean, tookMs?: number}>} load
 * @param {unknown[]} deps what makes it another list
 * @param {import("./live.js").Freshness} freshness
 * @returns {Paged<R>}
 */
export function usePages(load, deps, freshness) {
  const [, redraw] = useState(0);
  const list = useRef(/** @type {any} */ (null));
  const key = JSON.stringify(deps);
  if (!list.current || list.current.key !== key) {
    // Rows of the list before stay in sight until the first page of this one is there.
    const before = list.current;
    list.current = { key, pages: before?.pages ?? [], stale: true, total: before?.total ?? 0, exact: true, fresh: 0, error: null, loading: !before, held: false, range: [0, 0], filling: false, tookMs: 0, ended: false };
  }
  const l = list.current;
  useEffect(() => {
    const mine = list.current;
    const draw = () => mine === list.current && redraw((n) => n + 1);
    mine.draw = draw;
    mine.load = load;
    mine.kept = keep(
      async (signal) => {
        const first = await load({ cursor: null, limit: FIRST }, signal);
        const inSight = mine.stale ? [] : mine.pages.filter((p, i) => i > 0 && seen(mine, i));
        const others = await Promise.all(inSight.slice(0, 3).map(async (page) => ({ page, answer: await load({ cursor: page.from, limit: page.rows.length || FIRST }, signal) })));
        return { first, others };
      },
      ({ first, others }) => {
        mine.error = null;
        mine.tookMs = first.tookMs ?? 0;
        const moved = mine.held || mine.range[0] > 8;
        if (mine.stale || !moved) {
          mine.pages = [{ from: null, rows: first.rows, next: first.cursor }];
          mine.fresh = 0;
          mine.total = first.total ?? first.rows.length;
        } else {
          const known = new Set(mine.pages.flatMap((p) => p.rows.map((r) => r.id)));
          mine.fresh = Math.max(first.rows.filter((r) => !known.has(r.id)).length, known.size >= FIRST ? (first.total ?? 0) - mine.total : 0);
          update(mine.pages, [first, ...others.map((o) => o.answer)], mine.pages.filter((_, i) => i === 0 || seen(mine, i)));
        }
        mine.exact = first.totalIsExact !== false;
        mine.stale = false;
        mine.loading = false;
        draw();
        fill(mine);
      },
      freshness,
      (error) => {
        mine.error = error;
        mine.loading = false;
        if (mine.stale) {
          mine.pages = [];
          mine.total = 0;
        }
        draw();
      },
    );
    return () => {
      mine.ended = true;
      mine.kept.end();
    };
  }, [key]);
  return {
    rows: l.pages.length === 1 ? l.pages[0].rows : l.pages.flatMap((/** @type {any} */ p) => p.rows),
    total: l.pages.at(-1)?.next ? Math.max(l.total, loaded(l)) : loaded(l),
    exact: l.exact,
    fresh: l.fresh,
    error: l.error,
    loading: l.loading,
    tookMs: l.tookMs,
    want(from, to) {
      l.range = [from, to];
      fill(l);
    },
    hold(on) {
      l.held = on;
    },
    show() {
      l.stale = true;
      l.kept?.run();
    },
  };
}

const loaded = (/** @type {any} */ l) => l.pages.reduce((/** @type {number} */ n, /** @type {any} */ p) => n + p.rows.length, 0);

/** Whether a page is in sight. @param {any} l @param {number} index */
function seen(l, index) {
  let start = 0;
  for (let i = 0; i < index; i++) start += l.pages[i].rows.length;
  return start < l.range[1] && start + l.pages[index].rows.length > l.range[0];
}

/** Load what is in sight and not there yet; far jumps in large steps. @param {any} l */
async function fill(l) {
  if (l.filling || l.stale || l.ended) return;
  l.filling = true;
  try {
    while (!l.ended && l.pages.at(-1)?.next && loaded(l) < l.range[1] + 20) {
      const cursor = l.pages.at(-1).next;
      const missing = l.range[1] - loaded(l);
      const answer = await l.load({ cursor, limit: missing > 200 ? FAR : 200 });
      if (l.ended || l.pages.at(-1)?.next !== cursor) break;
      const known = new Set(l.pages.at(-1).rows.map((/** @type {any} */ r) => r.id));
      l.pages = [...l.pages, { from: cursor, rows: answer.rows.filter((r) => !known.has(r.id)), next: answer.cursor }];
      l.draw();
    }
  } catch (error) {
    l.error = error;
    l.draw();
  }
  l.filling = false;
}

/**
 * Put what is new about rows in their place. A row that the list no longer has stays, marked `left`.
 * @param {any[]} pages @param {{rows: any[]}[]} answers @param {any[]} asked the pages that were asked for again
 */
function update(pages, answers, asked) {
  const news = new Map(answers.flatMap((a) => a.rows.map((r) => [r.id, r])));
  for (const page of pages) {
    const again = asked.includes(page);
    page.rows = page.rows.map((/** @type {any} */ r) => news.get(r.id) ?? (again && !r.left && news.size < FIRST ? { ...r, left: true } : r));
  }
}
