/** The keyboard: screens and lists add what their keys do while they are shown; `?` lists what is in force. */
import { useEffect, useRef } from "./ui.js";

/** @typedef {{keys: string, label: string, group?: string, run: (event: KeyboardEvent) => unknown, hidden?: boolean}} Binding */

/** @type {Set<{current: Binding[]}>} */
const layers = new Set();
let prefix = "";
let prefixTimer = 0;

/** The bindings in force, the latest first. */
export const bindings = () => [...layers].reverse().flatMap((layer) => layer.current);

/** @param {EventTarget | null} target */
export function isTyping(target) {
  const element = /** @type {HTMLElement} */ (target);
  if (!element?.tagName) return false;
  if (element.isContentEditable || element.tagName === "TEXTAREA" || element.tagName === "SELECT") return true;
  return element.tagName === "INPUT" && !["checkbox", "radio", "button"].includes(/** @type {HTMLInputElement} */ (element).type);
}

addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing) return;
  const control = event.ctrlKey || event.metaKey;
  const key = event.key === " " ? "Space" : event.key;
  const name = (control ? "Ctrl-" : "") + (key.length === 1 && control ? key.toLowerCase() : key);
  if (event.altKey || (isTyping(event.target) && !control)) return;
  if (document.querySelector("dialog[open], .menu") && !control) return;
  // Enter and the space bar belong to what has the focus, if it is something to press.
  if ((name === "Enter" || name === "Space") && /** @type {HTMLElement} */ (event.target).closest?.("a, button, summary, label, input")) return;
  const wanted = prefix ? `${prefix} ${name}` : name;
  const all = bindings();
  const found = all.find((binding) => binding.keys.split(", ").includes(wanted));
  clearTimeout(prefixTimer);
  prefix = "";
  if (found) {
    event.preventDefault();
    found.run(event);
  } else if (all.some((binding) => binding.keys.startsWith(`${name} `))) {
    prefix = name;
    prefixTimer = setTimeout(() => (prefix = ""), 1200);
  }
});

/** Keys that work while the component is shown. @param {Binding[]} list */
export function useKeys(list) {
  const layer = useRef(list);
  layer.current = list;
  useEffect(() => {
    layers.add(layer);
    return () => void layers.delete(layer);
  }, []);
}
