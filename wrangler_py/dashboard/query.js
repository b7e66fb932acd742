/** The language of the search box: its parts, and what may come next where the text cursor stands. */

/** @typedef {{label: string, insert: string, hint: string}} Suggestion */

const STATES = ["ready", "delayed", "in_flight", "retrying", "dead", "acked", "dropped", "discarded", "purged", "expired"];
const OUTCOMES = ["acked", "dead", "dropped", "discarded", "expired"];
const QUALIFIERS = [
  ["queue:", "in this queue"],
  ["state:", "ready, delayed, dead, ..."],
  ["body.", "a value in the JSON body: body.user.id:42"],
  ["attempts:", "attempts:>1"],
  ["error:", "the last error contains"],
  ["reason:", "what settled it: reason:retry()"],
  ["outcome:", "how it ended"],
  ["id:", "its id begins so"],
  ["trace:", "belongs to this trace"],
];

/** The word at the text cursor. @param {string} text @param {number} at */
export function wordAt(text, at) {
  let start = at;
  let quoted = (text.slice(0, at).match(/"/g)?.length ?? 0) % 2 === 1;
  while (start > 0 && (quoted || !/\s/.test(text[start - 1]))) {
    if (text[start - 1] === '"') quoted = !quoted;
    start -= 1;
  }
  return { start, word: text.slice(start, at) };
}

/** @param {string} value */
export const quote = (value) => (/[\s"]/.test(value) ? JSON.stringify(value) : value);

/**
 * @param {string} text @param {number} at where the text cursor stands
 * @param {{queues: string[], paths: Map<string, Set<string>>}} known names of queues; paths in the bodies on the screen, with values
 * @returns {{start: number, list: Suggestion[]}}
 */
export function suggest(text, at, known) {
  const { start, word } = wordAt(text, at);
  const minus = word.startsWith("-") ? "-" : "";
  const bare = word.slice(minus.length);
  const colon = bare.indexOf(":");
  /** @type {[string, string][]} */
  let list = [];
  if (colon >= 0) {
    const name = bare.slice(0, colon);
    const typed = bare.slice(colon + 1).replace(/^"/, "");
    // Of `state:dead,ret` the last one is being typed.
    const kept = name === "state" ? typed.slice(0, typed.lastIndexOf(",") + 1) : "";
    const value = typed.slice(kept.length).toLowerCase();
    const values = name === "queue" ? known.queues : name === "state" ? STATES : name === "outcome" ? OUTCOMES : name === "attempts" ? [">1", "1", "2", ">=3"] : name.startsWith("body.") ? [...(known.paths.get(name.slice(5)) ?? [])] : [];
    list = values.filter((v) => v.toLowerCase().includes(value) && v.toLowerCase() !== value).map((v) => [`${minus}${name}:${kept}${quote(v)} `, ""]);
  } else if (bare.startsWith("body.")) {
    const begun = bare.slice(5);
    list = [...known.paths.keys()].filter((p) => p.startsWith(begun)).map((p) => [`${minus}body.${p}:`, "in the bodies below"]);
  } else {
    list = QUALIFIERS.filter(([q]) => q.startsWith(bare)).map(([q, hint]) => [minus + q, hint]);
  }
  return { start, list: list.slice(0, 8).map(([insert, hint]) => ({ label: insert.trim(), insert, hint })) };
}

/** Paths and some of their values, out of previews of bodies; a preview may be cut off. @param {string[]} previews */
export function pathsIn(previews) {
  /** @type {Map<string, Set<string>>} */
  const paths = new Map();
  const note = (path, value) => {
    if (paths.size > 200) return;
    if (!paths.has(path)) paths.set(path, new Set());
    const values = paths.get(path);
    if (values.size < 20 && value.length < 60) values.add(value);
  };
  const look = (path, value, depth) => {
    if (value && typeof value === "object") {
      if (depth > 4) return;
      for (const [key, inner] of Object.entries(value).slice(0, 40)) look(path ? `${path}.${key}` : key, inner, depth + 1);
    } else if (path) note(path, String(value));
  };
  for (const preview of previews.slice(0, 200)) {
    try {
      look("", JSON.parse(preview), 0);
    } catch {
      // cut off or no JSON: the first level can still be read
      for (const found of preview.matchAll(/"([A-Za-z_]\w*)"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+|true|false)/g)) note(found[1], found[2].replace(/^"|"$/g, ""));
    }
  }
  return paths;
}

/** The states that the query asks for. @param {string} q */
export const statesIn = (q) => q.split(/\s+/).flatMap((part) => (part.startsWith("state:") ? part.slice(6).split(",") : []));

/** Ask for a state too, or no longer. @param {string} q @param {string} state */
export function toggleState(q, state) {
  const wanted = statesIn(q);
  const next = wanted.includes(state) ? wanted.filter((s) => s !== state) : [...wanted, state];
  const rest = q.split(/\s+/).filter((part) => part && !part.startsWith("state:"));
  return [...rest, next.length ? `state:${next.join(",")}` : ""].filter(Boolean).join(" ");
}
