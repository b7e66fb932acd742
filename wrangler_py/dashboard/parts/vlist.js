/**
 * A list of any length, of which only what can be seen is in the page. Rows have one height. The row under the cursor is
 * told to screen readers by `aria-activedescendant`, so that the focus stays on the list while rows come and go.
 */
import { html, cls, useEffect, useLayoutEffect, useRef, useState } from "../ui.js";

const OVERSCAN = 8;

/**
 * @param {object} props
 * @param {number} props.count
 * @param {number} props.rowHeight in pixels
 * @param {(index: number) => any} props.row its cells, or null for a row that is not there yet
 * @param {(index: number) => string} props.keyOf
 * @param {string} props.label what the list is, for screen readers
 * @param {any} [props.header]
 * @param {number} [props.cursor] the row that keys act on, -1 for none
 * @param {(index: number) => boolean} [props.isPicked]
 * @param {(index: number) => string} [props.rowClass]
 * @param {(index: number, event: MouseEvent) => void} [props.onRow] a click on a row
 * @param {(index: number, event: MouseEvent) => void} [props.onRowMenu]
 * @param {(from: number, to: number) => void} [props.onRange] the rows that are shown
 * @param {(over: boolean) => void} [props.onHover] the pointer is over the list, or has left
 * @param {(top: number) => void} [props.onScrolled]
 * @param {string} [props.className]
 * @param {any} [props.resetKey] the list goes back to its top when this changes
 * @param {boolean} [props.multi] rows can be selected
 */
export function VList({ count, rowHeight, row, keyOf, label, header, cursor = -1, isPicked, rowClass, onRow, onRowMenu, onRange, onHover, onScrolled, className, resetKey, multi }) {
  const scroller = useRef(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  const id = useRef("list" + Math.random().toString(36).slice(2)).current;

  useLayoutEffect(() => {
    const node = scroller.current;
    const measure = () => setView((old) => (old.height === node.clientHeight && old.top === node.scrollTop ? old : { top: node.scrollTop, height: node.clientHeight }));
    const watcher = new ResizeObserver(measure);
    watcher.observe(node);
    measure();
    return () => watcher.disconnect();
  }, []);

  useLayoutEffect(() => {
    if (scroller.current.scrollTop) scroller.current.scrollTop = 0;
  }, [resetKey]);

  useLayoutEffect(() => {
    if (cursor < 0) return;
    const node = scroller.current;
    const head = node.querySelector(".vhead")?.offsetHeight ?? 0;
    const top = cursor * rowHeight;
    if (top < node.scrollTop) node.scrollTop = top;
    else if (top + rowHeight + head > node.scrollTop + node.clientHeight) node.scrollTop = top + rowHeight + head - node.clientHeight;
  }, [cursor, rowHeight]);

  const from = Math.max(0, Math.floor(view.top / rowHeight) - OVERSCAN);
  const to = Math.min(count, Math.ceil((view.top + view.height) / rowHeight) + OVERSCAN);
  useEffect(() => onRange?.(from, to), [from, to, count]);

  const rows = [];
  for (let i = from; i < to; i++) {
    const cells = row(i);
    rows.push(
      html`<div key=${keyOf(i)} id=${`${id}-${i}`} role="row" aria-rowindex=${i + (header ? 2 : 1)} aria-selected=${multi ? String(!!isPicked?.(i)) : undefined}
        class=${cls("vrow", i === cursor && "cursor", isPicked?.(i) && "picked", rowClass?.(i))} style=${{ transform: `translateY(${i * rowHeight}px)`, height: rowHeight + "px" }}
        onClick=${cells && onRow && ((event) => event.target.closest("a, button, input, label") || onRow(i, event))}
        onContextMenu=${cells && onRowMenu && ((event) => event.target.closest("a") || (event.preventDefault(), onRowMenu(i, event)))}>
        ${cells ?? html`<div class="skeleton" role="gridcell"><span class="only-read">loading</span></div>`}
      </div>`,
    );
  }
  return html`<div ref=${scroller} class=${cls("vlist", className)} role="grid" tabindex="0" aria-label=${label} aria-rowcount=${count + (header ? 1 : 0)}
    aria-multiselectable=${multi ? "true" : undefined} aria-activedescendant=${cursor >= from && cursor < to ? `${id}-${cursor}` : undefined}
    onScroll=${() => {
      const { scrollTop: top, clientHeight: height } = scroller.current;
      setView({ top, height });
      onScrolled?.(top);
    }}
    onPointerEnter=${(event) => event.pointerType === "mouse" && onHover?.(true)} onPointerLeave=${() => onHover?.(false)}>
    ${header && html`<div class="vhead" role="row" aria-rowindex="1">${header}</div>`}
    <div class="vbody" role="rowgroup" style=${{ height: count * rowHeight + "px" }}>${rows}</div>
  </div>`;
}
