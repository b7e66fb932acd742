/** One R2 bucket: its objects, as folders, and one of them. */
import { html } from "../../ui.js";
import { get } from "../../api.js";
import { useQuery } from "../../live.js";
import { setParams } from "../../router.js";
import { bytes, fullTime, plural } from "../../format.js";
import { Icon } from "../../parts/icons.js";
import { Ago } from "../../parts/times.js";
import { AFTER } from "../state.js";
import { Keyed, Stored } from "./keyed.js";

/** @param {{parts: string[], params: URLSearchParams}} props */
export default function Bucket({ parts, params }) {
  const bucket = parts[2];
  const prefix = params.get("prefix") ?? "";
  const load = async (begin, { cursor, limit }, signal) => {
    const a = await get("state/r2/objects", { bucket, prefix: begin, folders: 1, cursor, limit }, signal);
    return { rows: [...a.folders.map((f) => ({ id: f, folder: true })), ...a.objects.map((o) => ({ ...o, id: o.key }))], cursor: a.cursor };
  };
  const go = (next) => setParams({ prefix: next, key: null }, { replace: false });
  const open = (row) => row && (row.folder ? go(row.id) : setParams({ key: row.id }));
  const inFolder = (key) => key.slice(prefix.lastIndexOf("/") + 1);
  const cells = (row) =>
    row.folder
      ? html`<div role="gridcell" class="grow cut mono"><${Icon} name="rightward" size=${12} /> ${inFolder(row.id)}</div>`
      : html`<div role="gridcell" class="grow cut mono">${inFolder(row.key)}</div><div role="gridcell" class="nowrap soft small">${bytes(row.size)}</div><div role="gridcell" class="nowrap soft small hide-narrow"><${Ago} ms=${row.uploadedMs} /></div>`;
  const keys = (selected) => [
    { keys: "Enter, o", label: "Open the folder", group: "List", run: () => open(selected) },
    { keys: "u", label: "Folder above", group: "List", run: () => prefix && go(prefix.slice(0, prefix.replace(/\/$/, "").lastIndexOf("/") + 1)) },
  ];
  const steps = prefix.split("/").slice(0, -1);
  const title = html`${steps.length ? html`<button type="button" class="link" onClick=${() => go("")}>${bucket}</button>` : bucket}${steps.map((s, i) => html` <span class="crumbs">/</span> <button type="button" class="link" key=${i} onClick=${() => go(steps.slice(0, i + 1).join("/") + "/")}>${s}</button>`)}`;
  return html`<${Keyed} kind="r2" store=${bucket} title=${title} params=${params} noun="object" write="Store an object…" load=${load} cells=${cells} open=${open} more=${keys} value=${(name) => html`<${R2Object} bucket=${bucket} name=${name} key=${name} />`} />`;
}

/** @param {{bucket: string, name: string}} props */
function R2Object({ bucket, name }) {
  const { data: o, error } = useQuery((signal) => get("state/r2/object", { bucket, key: name }, signal), [bucket, name], AFTER);
  if (error) return html`<div class="empty"><strong>${error.message}</strong></div>`;
  if (!o) return null;
  const facts = html`<dt>Size</dt><dd>${plural(o.size, "byte")}</dd><dt>Stored</dt><dd>${fullTime(o.uploadedMs)}</dd><dt>Content type</dt><dd>${o.contentType ?? html`<span class="soft">none</span>`}</dd><dt>etag</dt><dd class="mono">${o.etag}</dd>
    ${Object.entries(o.customMetadata).map(([k, v]) => html`<dt key=${k}>${k}</dt><dd class="mono">${v}</dd>`)}`;
  return html`<${Stored} kind="r2" store=${bucket} name=${o.key} facts=${facts} body=${{ ...o, contentType: "" }} size=${o.size} truncated=${o.truncated} whole="wpy r2 object get" />`;
}
