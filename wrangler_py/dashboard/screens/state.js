/** What stands behind the bindings: KV, D1, R2, Durable Objects, workflows. `#/state`, `#/state/kv/ID`, and so on. */
import { html, useEffect, useState } from "../ui.js";
import { get } from "../api.js";
import { useQuery } from "../live.js";
import { href } from "../router.js";
import { bytes, count, plural } from "../format.js";
import { Icon } from "../parts/icons.js";

/** State has no events of its own: it is looked at again after whatever may have changed it. */
export const AFTER = { on: ["request.", "batch.finished", "cron.finished", "alarm.", "task.", "workflow"], every: 15000 };

const KINDS = {
  kv: { label: "KV", load: () => import("./state/kv.js") },
  d1: { label: "D1", load: () => import("./state/d1.js") },
  r2: { label: "R2", load: () => import("./state/r2.js") },
  objects: { label: "Durable Objects", load: () => import("./state/objects.js") },
  workflows: { label: "Workflows", load: () => import("./state/workflows.js") },
};

/** @param {{parts: string[], params: URLSearchParams}} props */
export default function State({ parts, params }) {
  const kind = KINDS[parts[1]] && parts[2] ? parts[1] : null;
  const [loaded, setLoaded] = useState(/** @type {{kind: string, View: any} | null} */ (null));
  useEffect(() => {
    let here = true;
    if (kind) KINDS[kind].load().then((module) => here && setLoaded({ kind, View: module.default }));
    return () => void (here = false);
  }, [kind]);
  if (!kind) return html`<${Overview} />`;
  if (loaded?.kind !== kind) return html`<div class="page"></div>`;
  return html`<${loaded.View} parts=${parts} params=${params} key=${parts.slice(1).join("/")} />`;
}

/** @param {{kind: string, name: any, of?: any, children?: any}} props */
export const Head = ({ kind, name, of, children }) => html`<div class="page-head">
  <h1><a class="crumbs" href=${href(["state"])}>State</a> <span class="crumbs">/ ${of ?? KINDS[kind].label} /</span> ${name}</h1>${children}</div>`;

/** @param {{bindings: {worker: string, binding: string}[]}} props */
const Bindings = ({ bindings }) => html`<span class="row wrap">${bindings.map((b) => html`<span class="tag" key=${b.worker + b.binding} title=${`env.${b.binding} of ${b.worker}`}><code>env.${b.binding}</code>${b.worker}</span>`)}</span>`;

function Overview() {
  const { data, error } = useQuery((signal) => get("state", {}, signal), [], AFTER);
  const rows = data && [
    ["KV namespaces", data.kv.map((k) => ({ to: ["state", "kv", k.id], name: k.id, bindings: k.bindings, has: plural(k.keys, "key") }))],
    ["D1 databases", data.d1.map((d) => ({ to: ["state", "d1", d.id], name: d.name, bindings: d.bindings, has: plural(d.tables, "table"), size: d.bytes }))],
    ["R2 buckets", data.r2.map((r) => ({ to: ["state", "r2", r.bucket], name: r.bucket, bindings: r.bindings, has: plural(r.objects, "object"), size: r.bytes }))],
    ["Durable Objects", data.objects.map((o) => ({ to: ["state", "objects", o.worker, o.class], name: o.class, bindings: o.bindings, has: plural(o.objects, "object") }))],
    ["Workflows", data.workflows.map((w) => ({ to: ["state", "workflows", w.name], name: w.name, bindings: [], note: `${w.class_name} of ${w.script_name}`, has: counted(w.instances) }))],
  ].filter(([, list]) => list.length);
  return html`<div class="page">
    <div class="page-head"><h1>State</h1><span class="soft small">what stands behind the bindings of the config</span></div>
    ${error && html`<div class="note bad">${error.message}</div>`}
    ${rows?.length === 0 && html`<div class="panel"><div class="empty"><strong>The config binds no state</strong><span>KV namespaces, D1 databases, R2 buckets, Durable Objects and workflows show here once it does:</span><pre>${'[[kv_namespaces]]\nbinding = "CACHE"\nid = "cache"'}</pre></div></div>`}
    ${rows?.map(([title, list]) => html`<section class="panel" key=${title} aria-label=${title}><header><h2>${title}</h2></header>
      <ul class="state-list">${list.map((one) => html`<li key=${one.to.join("/")}><a class="strong cut" href=${href(one.to)}>${one.name}</a><span class="state-uses">${one.note ? html`<span class="soft small">${one.note}</span>` : html`<${Bindings} bindings=${one.bindings} />`}</span>
        <span class="state-has">${one.has}${one.size ? html`<span class="soft small"> ${bytes(one.size)}</span>` : ""}</span><${Icon} name="rightward" size=${14} /></li>`)}</ul></section>`)}
  </div>`;
}

/** @param {Record<string, number>} instances */
const counted = (instances) => Object.entries(instances).map(([status, n]) => `${count(n)} ${status}`).join(", ") || "no instances";
