/** Addresses: `#/queues/emails?tab=dead&q=attempts:>1`. After the hash, so that they need nothing of the server. */
import { cell, useCell } from "./ui.js";

/** @typedef {{path: string, parts: string[], params: URLSearchParams}} Route */

/** @returns {Route} */
function read() {
  const raw = location.hash.replace(/^#/, "") || "/";
  const at = raw.indexOf("?");
  const path = at < 0 ? raw : raw.slice(0, at);
  const parts = path.split("/").filter(Boolean).map(decode);
  return { path, parts, params: new URLSearchParams(at < 0 ? "" : raw.slice(at + 1)) };
}

/** @param {string} part */
function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

const route = cell(read());
let shown = location.hash;
addEventListener("hashchange", () => {
  if (location.hash === shown) return;
  shown = location.hash;
  route.set(read());
});

export const useRoute = () => useCell(route);
export const currentRoute = () => route.get();

/**
 * The address of a screen.
 * @param {string[]} parts
 * @param {Record<string, string | null | undefined>} [params] empty ones are left out
 */
export function href(parts, params = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) if (value) query.set(name, value);
  const text = query.toString();
  return "#/" + parts.map(encodeURIComponent).join("/") + (text ? "?" + text : "");
}

/**
 * @param {string} address as `href` makes it
 * @param {{replace?: boolean}} [options] `replace`: no new entry in the browser's history
 */
export function navigate(address, { replace = false } = {}) {
  if (address === location.hash) return;
  shown = address;
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  route.set(read());
}

/**
 * Change parameters of the current screen.
 * @param {Record<string, string | null | undefined>} changes
 */
export function setParams(changes, { replace = true } = {}) {
  const now = route.get();
  const params = Object.fromEntries(now.params);
  navigate(href(now.parts, { ...params, ...changes }), { replace });
}
addEventListener("popstate", () => {
  shown = location.hash;
  route.set(read());
});
