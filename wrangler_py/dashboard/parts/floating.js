/** What floats above the page: dialogs, menus, toasts. Dialogs are the browser's own, with its focus trap and Escape. */
import { html, cell, useCell, useEffect, useLayoutEffect, useRef, useState, cls } from "../ui.js";
import { Icon } from "./icons.js";

// Dialogs ---------------------------------------------------------------------------------------------------------

/** @type {ReturnType<typeof cell<any>>} */
const dialog = cell(null);

/**
 * Show a dialog. `view` is a component that is given `close`.
 * @param {(props: {close: () => void}) => any} view
 */
export function openDialog(view) {
  dialog.set({ view, key: Symbol("dialog"), back: document.activeElement });
}

export function closeDialog() {
  const open = dialog.get();
  dialog.set(null);
  // Once it is gone: what is behind an open dialog cannot take the focus.
  setTimeout(() => open?.back instanceof HTMLElement && open.back.isConnected && !dialog.get() && open.back.focus({ preventScroll: true }));
}

export function DialogHost() {
  const open = useCell(dialog);
  const element = useRef(null);
  useLayoutEffect(() => {
    if (open && !element.current?.open) element.current?.showModal();
  }, [open]);
  if (!open) return null;
  const View = open.view;
  return html`<dialog ref=${element} class="veil-dialog" onCancel=${(event) => (event.preventDefault(), closeDialog())}
    onMouseDown=${(event) => event.target === element.current && closeDialog()}>
    <${View} close=${closeDialog} />
  </dialog>`;
}

/**
 * The look of a usual dialog.
 * @param {{title: any, children?: any, footer?: any, wide?: boolean, close: () => void, onSubmit?: () => void}} props
 */
export function Dialog({ title, children, footer, wide, close, onSubmit }) {
  const submit = (event) => {
    event.preventDefault();
    onSubmit?.();
  };
  return html`<form class=${cls("dialog", wide && "wide")} onSubmit=${submit} aria-labelledby="dialog-title" noValidate
    onKeyDown=${(event) => (event.ctrlKey || event.metaKey) && event.key === "Enter" && submit(event)}>
    <header><h2 id="dialog-title">${title}</h2><button type="button" class="btn quiet icon small" aria-label="Close" onClick=${close}><${Icon} name="x" /></button></header>
    <div class="body">${children}</div>
    ${footer && html`<footer>${footer}</footer>`}
  </form>`;
}

// Menus -----------------------------------------------------------------------------------------------------------

/** @type {ReturnType<typeof cell<any>>} */
const menu = cell(null);

/**
 * Open a menu under an element. `items`: {label, icon, hint, run, disabled, danger}, {title}, {line: true}, {view}.
 * @param {Element} anchor @param {any[] | Promise<any[]>} items
 */
export function openMenu(anchor, items) {
  const box = anchor.getBoundingClientRect();
  menu.set({ items: Array.isArray(items) ? items : null, box, back: document.activeElement, key: Symbol("menu") });
  const opened = menu.get();
  if (!Array.isArray(items)) {
    items.then(
      (known) => menu.get() === opened && menu.set({ ...opened, items: known }),
      (error) => menu.get() === opened && menu.set({ ...opened, items: [{ title: String(error.message ?? error) }] }),
    );
  }
}

export function closeMenu() {
  const open = menu.get();
  if (!open) return;
  menu.set(null);
  if (open.back instanceof HTMLElement && open.back.isConnected) open.back.focus({ preventScroll: true });
}

export function MenuHost() {
  const open = useCell(menu);
  const element = useRef(null);
  const [place, setPlace] = useState({ left: -9999, top: 0 });
  useLayoutEffect(() => {
    if (!open) return;
    const node = element.current;
    node.showPopover?.();
    const size = node.getBoundingClientRect();
    const left = Math.max(8, Math.min(open.box.left, innerWidth - size.width - 8));
    const below = open.box.bottom + 4;
    const top = below + size.height > innerHeight - 8 ? Math.max(8, open.box.top - size.height - 4) : below;
    setPlace({ left, top });
    /** @type {HTMLElement} */ (node.querySelector("button:not(:disabled)") ?? node).focus({ preventScroll: true });
  }, [open]);
  useEffect(() => {
    if (!open) return;
    const away = (event) => element.current?.contains(event.target) || closeMenu();
    addEventListener("pointerdown", away, true);
    addEventListener("resize", closeMenu);
    return () => {
      removeEventListener("pointerdown", away, true);
      removeEventListener("resize", closeMenu);
    };
  }, [open]);
  if (!open) return null;
  const keys = (event) => {
    const all = [...element.current.querySelectorAll("button:not(:disabled)")];
    const at = all.indexOf(document.activeElement);
    if (event.key === "Escape" || event.key === "Tab") closeMenu();
    else if (event.key === "ArrowDown" || event.key === "j") all[(at + 1) % all.length]?.focus();
    else if (event.key === "ArrowUp" || event.key === "k") all[(at - 1 + all.length) % all.length]?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const item = (entry) => {
    if (entry.line) return html`<hr />`;
    if (entry.view) return entry.view;
    if (entry.title) return html`<div class="title">${entry.title}</div>`;
    const run = () => {
      if (!entry.stays) closeMenu();
      entry.run();
    };
    return html`<button role="menuitem" type="button" class=${entry.danger && "bad"} disabled=${entry.disabled} title=${entry.why} onClick=${run}>
      ${entry.icon && html`<${Icon} name=${entry.icon} size=${15} />`}<span class="cut">${entry.label}</span>${entry.hint && html`<span class="hint">${entry.hint}</span>`}
    </button>`;
  };
  return html`<div class="menu" popover="manual" role="menu" tabindex="-1" ref=${element} onKeyDown=${keys} style=${{ left: place.left + "px", top: place.top + "px" }}>
    ${open.items ? open.items.filter(Boolean).map(item) : html`<div class="title">Asking…</div>`}
  </div>`;
}

// Toasts ----------------------------------------------------------------------------------------------------------

/** @type {ReturnType<typeof cell<any[]>>} */
const toasts = cell([]);
let toastId = 0;

/**
 * Say something at the bottom of the page.
 * @param {any} text
 * @param {{bad?: boolean, undo?: () => void, action?: {label: string, run: () => void}, ms?: number}} [options] `undo`: offered for ten seconds
 */
export function toast(text, { bad = false, undo, action, ms } = {}) {
  const id = ++toastId;
  const gone = () => toasts.set(toasts.get().filter((t) => t.id !== id));
  const entry = { id, text, bad, undo, action, gone };
  toasts.set([...toasts.get().slice(-3), entry]);
  const timer = setTimeout(gone, ms ?? (undo ? 10000 : bad ? 9000 : 4500));
  return {
    close: () => (clearTimeout(timer), gone()),
    /** @param {any} next */
    update: (next) => toasts.set(toasts.get().map((t) => (t.id === id ? { ...t, text: next } : t))),
  };
}

export function ToastHost() {
  const all = useCell(toasts);
  const element = useRef(null);
  useLayoutEffect(() => {
    // Shown anew, so that it stands above a dialog that was opened since.
    if (element.current?.matches(":popover-open")) element.current.hidePopover();
    if (all.length) element.current?.showPopover?.();
  }, [all.length]);
  return html`<div class="toasts" popover="manual" ref=${element} role="status" aria-live="polite">
    ${all.map(
      (t) => html`<div class=${cls("toast", t.bad && "bad")} key=${t.id}>
        <span class="text">${t.text}</span>
        ${t.action && html`<button type="button" onClick=${() => (t.gone(), t.action.run())}>${t.action.label}</button>`}
        ${t.undo && html`<button type="button" data-undo="" onClick=${() => (t.gone(), t.undo())}>Undo <span class="soft-on">z</span></button><span class="left"></span>`}
        <button type="button" class="x" aria-label="Dismiss" onClick=${t.gone}>✕</button>
      </div>`,
    )}
  </div>`;
}

/** Undo the last thing that can be undone. Returns whether there was one. */
export function undoLast() {
  const last = toasts.get().findLast((t) => t.undo);
  if (!last) return false;
  last.gone();
  last.undo();
  return true;
}
