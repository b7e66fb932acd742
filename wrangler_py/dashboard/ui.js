/**
 * The one door to the view library (Preact and htm, in vendor/): templates are tagged with `html`, and text in them is
 * always text: nothing here parses HTML out of data.
 */
import { h, render, Fragment } from "./vendor/preact.js";
import htm from "./vendor/htm.js";

export { render, Fragment };
export { useState, useEffect, useLayoutEffect, useMemo, useRef, useCallback } from "./vendor/hooks.js";
import { useEffect, useState } from "./vendor/hooks.js";

export const html = htm.bind(h);

/**
 * A value that views can watch.
 * @template T
 * @param {T} initial
 */
export function cell(initial) {
  let value = initial;
  /** @type {Set<() => void>} */
  const watchers = new Set();
  return {
    get: () => value,
    /** @param {T} next */
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const watcher of [...watchers]) watcher();
    },
    /** @param {() => void} watcher */
    watch(watcher) {
      watchers.add(watcher);
      return () => void watchers.delete(watcher);
    },
  };
}

const narrow = matchMedia("(max-width: 699px)");
/** Whether the window is narrow, as the style sheets have it. */
export const slim = cell(narrow.matches);
narrow.addEventListener("change", () => slim.set(narrow.matches));

/**
 * The value of a cell, in a component that is drawn again when it changes.
 * @template T
 * @param {{get: () => T, watch: (w: () => void) => () => void}} source
 * @returns {T}
 */
export function useCell(source) {
  const [, redraw] = useState(0);
  useEffect(() => source.watch(() => redraw((n) => n + 1)), [source]);
  return source.get();
}

/** @param {...(string | false | null | undefined)} names */
export const cls = (...names) => names.filter(Boolean).join(" ");
