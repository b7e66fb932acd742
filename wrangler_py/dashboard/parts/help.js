/** `?`: the keys that work here and now, and what the shapes mean. */
import { html } from "../ui.js";
import { bindings } from "../keys.js";
import { Dialog, openDialog } from "./floating.js";
import { State } from "./icons.js";

export const showHelp = () => openDialog(Help);

/** @param {{close: () => void}} props */
function Help({ close }) {
  /** @type {Map<string, Map<string, string[]>>} */
  const groups = new Map();
  for (const { keys, label, group = "Everywhere", hidden } of bindings()) {
    if (hidden) continue;
    if (!groups.has(group)) groups.set(group, new Map());
    const of = groups.get(group);
    of.set(label, [...new Set([...(of.get(label) ?? []), ...keys.split(", ")])]);
  }
  const order = ["Message", "List", "Selection", "Everywhere", "Go to"];
  const sorted = [...groups].sort(([a], [b]) => (order.indexOf(a) + 99) % 99 - (order.indexOf(b) + 99) % 99);
  return html`<${Dialog} title="Keyboard" wide close=${close}>
    <div class="keys">
      ${sorted.map(([group, list]) => html`<section><h3>${group}</h3><ul>${[...list].map(([label, keys]) => html`<li><span>${keys.slice(0, 2).map((k, i) => html`${i > 0 && " "}${k.split(" ").map((part) => html`<kbd>${NAMES[part] ?? part}</kbd>`)}`)}</span><span>${label}</span></li>`)}</ul></section>`)}
      <section><h3>States</h3><ul>${["ready", "delayed", "in_flight", "retrying", "acked", "dead", "paused"].map((s) => html`<li><${State} state=${s} /></li>`)}</ul></section>
    </div>
  </${Dialog}>`;
}

const NAMES = { ArrowDown: "↓", ArrowUp: "↑", Escape: "Esc", Enter: "⏎", " ": "Space" };
