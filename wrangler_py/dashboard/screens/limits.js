/** The Workers of the session, and the limits of production that it keeps. */
import { html, cls, useCell } from "../ui.js";
import { get } from "../api.js";
import { overview, useQuery } from "../live.js";
import { count } from "../format.js";
import { Shape } from "../parts/icons.js";

export default function Limits() {
  const o = useCell(overview);
  const { data, error } = useQuery((signal) => get("limits", {}, signal), []);
  return html`<div class="page" tabindex="0" aria-label="Workers and limits" role="region">
    <div class="page-head"><h1>Workers & limits</h1><span class="soft small">wpy ${o?.version ?? ""}</span></div>
    <section class="panel" aria-label="Workers"><header><h2>Workers</h2></header>
      <table class="table"><thead><tr><th scope="col">Name</th><th scope="col">State</th><th scope="col">Handlers</th><th scope="col" class="hide-narrow">Main</th></tr></thead><tbody>
        ${(o?.workers ?? []).map((w) => html`<tr key=${w.name}><th scope="row">${w.name}</th><td><span class=${cls("state", w.state === "up" ? "s-acked" : w.state === "broken" ? "s-dead" : "s-in_flight")}><${Shape} state=${w.state === "up" ? "acked" : w.state === "broken" ? "dead" : "in_flight"} />${w.state}</span></td><td>${(w.handlers ?? []).join(", ")}</td><td class="hide-narrow"><code>${w.main}</code></td></tr>`)}
      </tbody></table></section>
    <section class="panel" aria-label="Limits"><header><h2>Limits of production</h2></header>
      ${error && html`<div class="body"><div class="note bad">${error.message}</div></div>`}
      <table class="table"><thead><tr><th scope="col">Limit</th><th scope="col">Value</th><th scope="col" class="hide-narrow">Source</th></tr></thead><tbody>
        ${(data?.limits ?? []).map((l) => html`<tr key=${l.name}><th scope="row">${l.name}</th><td><b>${typeof l.value === "number" ? count(l.value) : l.value}</b> <span class="soft">${l.unit ?? ""}</span></td><td class="soft small hide-narrow">${l.source ?? ""}</td></tr>`)}
      </tbody></table></section>
  </div>`;
}
