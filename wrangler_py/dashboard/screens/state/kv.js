/** One KV namespace: its keys, and what stands under one of them. */
import { html } from "../../ui.js";
import { get } from "../../api.js";
import { now, useQuery } from "../../live.js";
import { Ago } from "../../parts/times.js";
import { openPut } from "../../parts/value_forms.js";
import { AFTER } from "../state.js";
import { Keyed, Stored } from "./keyed.js";

/** @param {{parts: string[], params: URLSearchParams}} props */
export default function Namespace({ parts, params }) {
  const namespace = parts[2];
  const load = async (prefix, { cursor, limit }, signal) => {
    const a = await get("state/kv/keys", { namespace, prefix, cursor, limit }, signal);
    return { rows: a.keys.map((k) => ({ ...k, id: k.name })), cursor: a.cursor };
  };
  const cells = (row) => html`<div role="gridcell" class="grow cut mono">${row.name}</div><div role="gridcell" class="nowrap soft small">${row.expirationMs !== null && html`expires <${Ago} ms=${row.expirationMs} />`}</div>`;
  return html`<${Keyed} kind="kv" store=${namespace} params=${params} noun="key" write="Write a key…" load=${load} cells=${cells} value=${(name) => html`<${Value} namespace=${namespace} name=${name} key=${name} />`} />`;
}

/** @param {{namespace: string, name: string}} props */
function Value({ namespace, name }) {
  const { data: v, error } = useQuery((signal) => get("state/kv/value", { namespace, key: name }, signal), [namespace, name], AFTER);
  if (error) return html`<div class="empty"><strong>${error.message}</strong></div>`;
  if (!v) return null;
  const ttl = v.expirationMs === null ? 0 : Math.max(60, Math.ceil((v.expirationMs - now()) / 1000));
  const facts = (v.metadata !== null || v.expirationMs !== null) && html`${v.metadata !== null && html`<dt>Metadata</dt><dd class="mono">${v.metadata}</dd>`}${v.expirationMs !== null && html`<dt>Expires</dt><dd><${Ago} ms=${v.expirationMs} /></dd>`}`;
  const edit = { text: v.text, truncated: v.truncated, open: () => openPut("kv", namespace, { key: v.key, text: v.text, more: v.metadata ?? "", ttl }) };
  return html`<${Stored} kind="kv" store=${namespace} name=${v.key} edit=${edit} facts=${facts} body=${{ contentType: "", ...v }} size=${v.size} truncated=${v.truncated} whole="wpy kv key get" />`;
}
