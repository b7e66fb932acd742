/** The search box of lists of messages: `/` goes there, qualifiers complete themselves, the query stands in the address. */
import { html, cls, useEffect, useRef, useState } from "../ui.js";
import { suggest } from "../query.js";
import { useKeys } from "../keys.js";
import { Icon } from "./icons.js";

/**
 * @param {{value: string, onChange: (q: string) => void, known: {queues: string[], paths: Map<string, Set<string>>}, placeholder: string, error?: string | null}} props
 */
export function SearchBox({ value, onChange, known, placeholder, error }) {
  const [text, show] = useState(value);
  // What the box holds and offers, also before it is drawn again: keys may come faster than it is.
  const latest = useRef(value);
  const setText = (next) => {
    latest.current = next;
    show(next);
  };
  const [{ offers, at }, draw] = useState({ offers: { start: 0, list: [] }, at: -1 });
  const offered = useRef({ offers, at });
  const setOffered = (more) => draw((offered.current = { ...offered.current, ...more }));
  const [focused, setFocused] = useState(false);
  const input = useRef(null);
  const timer = useRef(0);
  useEffect(() => {
    if (document.activeElement !== input.current) setText(value);
  }, [value]);
  // What was typed belongs to this screen: somebody who goes to another one does not take it along.
  useEffect(() => () => clearTimeout(timer.current), []);
  useKeys([{ keys: "/", label: "Search", group: "List", run: () => (input.current.focus(), input.current.select()) }]);

  const tell = (next, wait = 140) => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onChange(next.trim()), wait);
  };
  const offer = (next) => {
    setOffered({ offers: suggest(next, input.current.selectionStart ?? next.length, known), at: -1 });
  };
  const typed = (event) => {
    setText(event.target.value);
    offer(event.target.value);
    // A qualifier without its value yet would find nothing.
    if (!/(^|\s)-?[a-z.]+:$|(^|\s)-?body\.[\w.]*$/.test(event.target.value)) tell(event.target.value);
  };
  const take = (suggestion) => {
    const box = input.current;
    const { start } = offered.current.offers;
    const next = box.value.slice(0, start) + suggestion.insert + box.value.slice(box.selectionStart ?? box.value.length).replace(/^\s+/, "");
    const place = start + suggestion.insert.length;
    box.value = next;
    box.setSelectionRange(place, place);
    setText(next);
    offer(next);
    if (suggestion.insert.endsWith(" ")) tell(next, 0);
  };
  const keys = (event) => {
    const { offers, at } = offered.current;
    const n = offers.list.length;
    if (event.key === "ArrowDown" && n) setOffered({ at: (at + 1) % n });
    else if (event.key === "ArrowUp" && n) setOffered({ at: (at - 1 + n) % n });
    else if ((event.key === "Tab" || event.key === "Enter") && at >= 0) take(offers.list[at]);
    else if (event.key === "Enter") {
      tell(latest.current, 0);
      input.current.blur();
      /** @type {HTMLElement} */ (document.querySelector("main .vlist"))?.focus();
    } else if (event.key === "Escape") {
      if (latest.current && at < 0) {
        setText("");
        tell("", 0);
      }
      input.current.blur();
    } else return;
    event.preventDefault();
  };
  const open = focused && offers.list.length > 0;
  return html`<div class="search">
    <${Icon} name="search" />
    <input ref=${input} class="input" type="text" role="combobox" aria-expanded=${String(open)} aria-controls="search-offers" aria-autocomplete="list" aria-activedescendant=${at >= 0 ? `offer-${at}` : undefined}
      aria-label="Search messages" aria-invalid=${error ? "true" : undefined} title=${error ?? undefined} placeholder=${placeholder} value=${text} autocomplete="off" spellcheck=${false} autocapitalize="off"
      onInput=${typed} onKeyDown=${keys} onFocus=${() => (setFocused(true), offer(text))} onBlur=${() => (setFocused(false), tell(latest.current, 0))} />
    ${text ? html`<button type="button" class="btn quiet icon small" aria-label="Clear the search" onClick=${() => (setText(""), tell("", 0))}><${Icon} name="x" size=${14} /></button>` : html`<kbd aria-hidden="true">/</kbd>`}
    <ul id="search-offers" role="listbox" aria-label="Completions" class="offers" hidden=${!open}>
      ${offers.list.map(
        (s, i) => html`<li id=${`offer-${i}`} role="option" aria-selected=${String(i === at)} class=${cls(i === at && "on")} onPointerDown=${(event) => (event.preventDefault(), take(s))}><code>${s.label}</code><span class="soft">${s.hint}</span></li>`,
      )}
    </ul>
  </div>`;
}
