/**
 * Calls of the session's JSON API (docs/dashboard-api.md). Reading needs nothing; writing needs the token that stands in
 * the page, which is read again when the session was started anew.
 */

const ROOT = new URL("./", import.meta.url).pathname;
const BASE = ROOT + "api/";
const meta = (/** @type {string} */ name) => document.querySelector(`meta[name="wpy-${name}"]`)?.getAttribute("content") ?? "";

export const session = { token: meta("token"), readonly: meta("readonly") === "true", version: meta("version") };

export class ApiError extends Error {
  /** @param {string} text @param {number} status 0: the session cannot be reached */
  constructor(text, status) {
    super(text);
    this.status = status;
  }
}

/** What the answers to the calls with a signal cost the session so far (ms). @type {WeakMap<AbortSignal, number>} */
export const spent = new WeakMap();

/** @param {string} path @param {RequestInit} [options] */
async function call(path, options) {
  let response;
  try {
    response = await fetch(BASE + path, { credentials: "omit", ...options });
  } catch (error) {
    if (/** @type {Error} */ (error).name === "AbortError") throw error;
    throw new ApiError("The session cannot be reached. Is `wpy dev` still running?", 0);
  }
  const work = /^work;dur=([\d.]+)$/.exec(response.headers.get("server-timing") ?? "");
  if (work && options?.signal) spent.set(options.signal, (spent.get(options.signal) ?? 0) + Number(work[1]));
  const text = await response.text();
  let value = null;
  try {
    value = JSON.parse(text);
  } catch {
    // said below: an answer that is no JSON is an error whatever its status
  }
  if (!response.ok || value === null) {
    throw new ApiError(value?.error ?? `${response.status} ${response.statusText || "no JSON"}: ${text.slice(0, 200)}`, response.status);
  }
  return value;
}

/**
 * @param {string} path @param {Record<string, unknown>} [params] empty ones are left out
 * @param {AbortSignal} [signal]
 */
export function get(path, params = {}, signal) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) if (value !== undefined && value !== null && value !== "") query.set(name, String(value));
  return call(path + (query.size ? "?" + query : ""), { signal });
}

/** @param {string} path @param {object} body */
const send = (path, body) =>
  call(path, { method: "POST", headers: { "content-type": "application/json", "x-wpy-token": session.token }, body: JSON.stringify(body) });

/**
 * Carry out an action. A session that was started anew has another token: it is fetched and the call made once more.
 * @param {string} path @param {object} [body]
 */
export async function post(path, body = {}) {
  try {
    return await send(path, body);
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 401 || !(await renewToken())) throw error;
    return send(path, body);
  }
}

/** Read the token out of the page as it is served now. Returns whether it is another one. */
export async function renewToken() {
  try {
    const text = await (await fetch(ROOT, { cache: "no-store", credentials: "omit" })).text();
    const page = new DOMParser().parseFromString(text, "text/html");
    const token = page.querySelector('meta[name="wpy-token"]')?.getAttribute("content") ?? "";
    session.readonly = page.querySelector('meta[name="wpy-readonly"]')?.getAttribute("content") === "true";
    const changed = token !== session.token;
    session.token = token;
    return changed;
  } catch {
    return false;
  }
}

/**
 * The lines that do the same elsewhere.
 * @param {string} path @param {object} [body]
 * @returns {Promise<{cli?: string, curl?: string, pytest?: string}>}
 */
export const twins = async (path, body = {}) => (await call(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ ...body, preview: true }) })).also;

/** @param {string} name */
export const queuePath = (name) => "queues/" + encodeURIComponent(name);
export const EVENTS = BASE + "events";
