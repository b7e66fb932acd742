/**
 * JSON with every number as it was written: 9007199254740993 stays what it is, where JSON.parse makes ...992 of it.
 * Written with a stack of its own, so that a body of 60,000 nested arrays is a tree like any other.
 */

/**
 * @typedef {object} Node
 * @property {"object" | "array" | "string" | "number" | "true" | "false" | "null"} kind
 * @property {string} [text] a string's value; a number's own digits
 * @property {Node[]} [items] of arrays and objects
 * @property {string[]} [keys] of objects, beside `items`; a key may stand twice
 */

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const WORD = /true|false|null/y;

/**
 * @param {string} text
 * @returns {Node}
 * @throws {SyntaxError} with the place where the text stops being JSON
 */
export function parseExact(text) {
  let at = 0;
  /** @param {RegExp} pattern */
  const take = (pattern) => {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found) at = pattern.lastIndex;
    return found ? found[0] : null;
  };
  const fail = () => {
    const line = text.slice(0, at).split("\n").length;
    throw new SyntaxError(at >= text.length ? "the text ends too early" : `unexpected ${JSON.stringify(text[at])} at line ${line}, character ${at}`);
  };
  /** @type {Node[]} */
  const open = [];
  /** @type {Node | undefined} */
  let root;
  for (;;) {
    take(SPACE);
    const parent = open.at(-1);
    let closed = false;
    if (parent) {
      const end = parent.kind === "array" ? "]" : "}";
      const first = parent.items.length === 0;
      if (text[at] === end) {
        at += 1;
        open.pop();
        closed = true;
      } else if (!first) {
        if (text[at] !== ",") fail();
        at += 1;
        take(SPACE);
      }
    }
    if (!closed) {
      if (parent?.kind === "object") {
        const key = take(STRING);
        if (key === null) fail();
        parent.keys.push(JSON.parse(key));
        take(SPACE);
        if (text[at] !== ":") fail();
        at += 1;
        take(SPACE);
      }
      /** @type {Node} */
      let node;
      const c = text[at];
      if (c === "{" || c === "[") {
        at += 1;
        node = c === "{" ? { kind: "object", items: [], keys: [] } : { kind: "array", items: [] };
      } else if (c === '"') {
        const raw = take(STRING);
        if (raw === null) fail();
        node = { kind: "string", text: JSON.parse(raw) };
      } else {
        const word = take(WORD);
        const digits = word === null ? take(NUMBER) : null;
        if (word === null && !digits) fail();
        node = word !== null ? { kind: /** @type {"true"} */ (word) } : { kind: "number", text: digits };
      }
      if (parent) parent.items.push(node);
      else root = node;
      if (node.items) {
        open.push(node);
        continue;
      }
    }
    if (open.length === 0) {
      take(SPACE);
      if (at < text.length) fail();
      return /** @type {Node} */ (root);
    }
  }
}

/**
 * The node as indented JSON text.
 * @param {Node} root
 * @returns {string}
 */
export function printExact(root) {
  const out = [];
  /** @type {(string | {node: Node, depth: number})[]} */
  const todo = [{ node: root, depth: 0 }];
  while (todo.length) {
    const next = todo.pop();
    if (typeof next === "string") {
      out.push(next);
      continue;
    }
    const { node, depth } = next;
    if (!node.items) {
      out.push(node.kind === "string" ? JSON.stringify(node.text) : node.kind === "number" ? node.text : node.kind);
      continue;
    }
    const [left, right] = node.kind === "array" ? "[]" : "{}";
    if (!node.items.length) {
      out.push(left + right);
      continue;
    }
    const pad = "\n" + "  ".repeat(Math.min(depth + 1, 100));
    todo.push("\n" + "  ".repeat(Math.min(depth, 100)) + right);
    for (let i = node.items.length - 1; i >= 0; i--) {
      todo.push({ node: node.items[i], depth: depth + 1 });
      todo.push((i ? "," : left) + pad + (node.keys ? JSON.stringify(node.keys[i]) + ": " : ""));
    }
  }
  return out.join("");
}
