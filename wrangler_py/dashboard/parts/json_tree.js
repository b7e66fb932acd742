/** JSON as a tree that folds, with numbers exactly as they were written. Only what is unfolded and in sight is drawn. */
import { html, cls, useMemo, useState } from "../ui.js";
import { VList } from "./vlist.js";
import { openMenu, toast } from "./floating.js";
import { printExact } from "../exact_json.js";

/** @typedef {import("../exact_json.js").Node} Node */
const ROW = 22;
const LONG = 200;

/**
 * @typedef {object} Line
 * @property {Node} node @property {number} depth @property {string | null} key @property {string} path
 * @property {boolean} [close] the line of a closing bracket
 */

/**
 * The lines of the tree, as far as it is unfolded. With a stack: a body may be nested deeper than calls can be.
 * @param {Node} root @param {Set<Node>} open
 * @returns {Line[]}
 */
function flatten(root, open) {
  const lines = [];
  /** @type {Line[]} */
  const todo = [{ node: root, depth: 0, key: null, path: "" }];
  while (todo.length) {
    const line = todo.pop();
    lines.push(line);
    const { node, depth, path } = line;
    if (line.close || !node.items || !open.has(node)) continue;
    todo.push({ node, depth, key: null, path, close: true });
    for (let i = node.items.length - 1; i >= 0; i--) {
      const key = node.keys ? node.keys[i] : null;
      const step = node.keys ? (/^[A-Za-z_$][\w$]*$/.test(key) ? (path ? "." : "") + key : `[${JSON.stringify(key)}]`) : `[${i}]`;
      todo.push({ node: node.items[i], depth: depth + 1, key: node.keys ? JSON.stringify(key) : String(i), path: path + step });
    }
  }
  return lines;
}

/** Unfolded at first: the two topmost levels, as far as they are not long. @param {Node} root */
function firstOpen(root) {
  const open = new Set();
  const look = (node, depth) => {
    if (!node.items || depth > 2 || (depth > 0 && node.items.length > 50)) return;
    open.add(node);
    for (const item of node.items.slice(0, 200)) look(item, depth + 1);
  };
  look(root, 0);
  return open;
}

/** @param {{root: Node, label: string}} props */
export function JsonTree({ root, label }) {
  const [open, setOpen] = useState(() => firstOpen(root));
  const lines = useMemo(() => flatten(root, open), [root, open]);
  const toggle = (node) => {
    const next = new Set(open);
    if (!next.delete(node)) next.add(node);
    setOpen(next);
  };
  const copy = async (text, what) => {
    await navigator.clipboard.writeText(text);
    toast(`Copied ${what}.`);
  };
  const menu = (line, anchor) =>
    openMenu(anchor, [
      { label: "Copy value", icon: "copy", run: () => copy(line.node.kind === "string" ? line.node.text : printExact(line.node), "the value") },
      { label: "Copy path", icon: "code", hint: line.path.slice(0, 40), disabled: !line.path, run: () => copy(line.path, line.path) },
      line.node.kind === "string" && line.node.text.length > LONG && { label: "Show the whole text", icon: "search", run: () => toggle(line.node) },
    ]);
  const height = Math.min(lines.length, 26) * ROW + 8;
  return html`<div class="jtree" style=${{ height: height + "px" }}>
    <${VList} count=${lines.length} rowHeight=${ROW} label=${label} keyOf=${(i) => i}
      row=${(i) => html`<${TreeLine} line=${lines[i]} open=${open.has(lines[i].node)} toggle=${toggle} menu=${menu} />`} />
  </div>`;
}

/** @param {{line: Line, open: boolean, toggle: (n: Node) => void, menu: (l: Line, anchor: Element) => void}} props */
function TreeLine({ line, open, toggle, menu }) {
  const { node, depth, key, close } = line;
  const pad = { paddingLeft: Math.min(depth, 40) * 16 + 6 + "px" };
  const [left, right] = node.kind === "array" ? "[]" : "{}";
  if (close) return html`<div role="gridcell" class="jline" style=${pad}><span class="jfold"></span><span class="jclose">${right}</span></div>`;
  const name = key !== null && html`<span class=${key.startsWith('"') ? "jkey" : "jindex"}>${key.startsWith('"') ? key.slice(1, -1) : key}</span><span class="soft">: </span>`;
  if (!node.items) {
    const long = node.kind === "string" && node.text.length > LONG;
    const text = node.kind === "string" ? JSON.stringify(long && !open ? node.text.slice(0, LONG) : node.text) : node.kind === "number" ? node.text : node.kind;
    return html`<div role="gridcell" class="jline" style=${pad}>
      <span class="jfold"></span>${name}<button type="button" class=${cls("jvalue", "j-" + node.kind)} onClick=${(event) => menu(line, event.currentTarget)}>${text}</button>
      ${long && !open && html`<span class="soft"> … ${node.text.length.toLocaleString("en-US")} characters</span>`}
      ${node.kind === "number" && isInexact(node.text) && html`<span class="jnote" title="JavaScript's Number cannot hold this value; it is shown as it was sent">exact</span>`}
    </div>`;
  }
  const size = node.items.length;
  const words = node.kind === "array" ? `${size} ${size === 1 ? "item" : "items"}` : `${size} ${size === 1 ? "key" : "keys"}`;
  return html`<div role="gridcell" class="jline" style=${pad}>
    <button type="button" class="jfold" aria-expanded=${String(open)} aria-label=${`${key ?? "root"}, ${words}`} disabled=${!size} onClick=${() => toggle(node)}>${size ? (open ? "▾" : "▸") : ""}</button>${name}
    <button type="button" class="jvalue" onClick=${(event) => (size && !open ? toggle(node) : menu(line, event.currentTarget))}>${size === 0 ? left + right : open ? left : `${left}…${right}`}</button>
    ${!open && size > 0 && html`<span class="soft"> ${words}</span>`}
  </div>`;
}

/** Whether a number loses digits when JavaScript reads it. @param {string} text */
export function isInexact(text) {
  if (!/^-?\d+$/.test(text)) return false;
  return BigInt(text) > 9007199254740991n || BigInt(text) < -9007199254740991n;
}
