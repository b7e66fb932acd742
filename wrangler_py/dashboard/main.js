/** The page: strip, navigation, and the screen that the address names. */
import { html, render, useCell, useEffect, useState } from "./ui.js";
import { useRoute, href, navigate } from "./router.js";
import { HOME_OF, MODULES, SCREENS } from "./screens.js";
import { link, overview, refresh, start, togglePause } from "./live.js";
import { useKeys } from "./keys.js";
import { theme, toggleTheme } from "./theme.js";
import { session } from "./api.js";
import { plural } from "./format.js";
import { nextCall } from "./actions.js";
import { Strip, moveClock } from "./parts/strip.js";
import { Icon } from "./parts/icons.js";
import { DialogHost, MenuHost, ToastHost, undoLast } from "./parts/floating.js";

const openPalette = async () => (await import("./parts/palette.js")).openPalette();
const showHelp = async () => (await import("./parts/help.js")).showHelp();

function App() {
  const route = useRoute();
  const name = route.parts[0] ?? "now";
  const known = name in MODULES;
  useKeys([
    { keys: "Ctrl-k", label: "Go to or do anything", run: openPalette },
    { keys: "?", label: "The keys of this screen", run: showHelp },
    { keys: "p", label: "Hold or resume live updates", run: togglePause },
    { keys: "t", label: "Light or dark", run: toggleTheme },
    { keys: "z", label: "Undo the last discard", run: undoLast },
    { keys: "g .", label: "Clock: to the next event", group: "Go to", run: () => moveClock(nextCall) },
    ...SCREENS.map((s) => ({ keys: `g ${s.key}`, label: s.label, group: "Go to", run: () => navigate(href(s.parts)) })),
  ]);
  useEffect(() => {
    const label = SCREENS.find((s) => s.id === (HOME_OF[name] ?? name))?.label ?? name;
    document.title = `${route.parts[1] && name !== "batch" ? `${route.parts[1].slice(0, 40)} · ` : ""}${label} · wpy`;
  }, [route]);
  return html`
    <button type="button" class="skip btn" onClick=${() => /** @type {HTMLElement} */ (document.querySelector("#main [tabindex='0'], #main a, #main button"))?.focus()}>Skip to the content</button>
    <${Strip} />
    <${Nav} current=${HOME_OF[name] ?? name} />
    <main id="main" tabindex="-1">
      <${Gone} />
      ${known ? html`<${Screen} name=${name} route=${route} />` : html`<div class="page"><div class="empty"><strong>There is no such page</strong><a href=${href([])}>To Now</a></div></div>`}
    </main>
    <${DialogHost} /><${MenuHost} /><${ToastHost} />
    <${Herald} />`;
}

/** @param {{current: string}} props */
function Nav({ current }) {
  const o = useCell(overview);
  useCell(theme);
  const failing = (o?.failures ?? []).length + (o?.workers ?? []).filter((w) => w.error).length;
  return html`<nav class="nav" aria-label="Screens">
    ${SCREENS.map((s) => html`<a key=${s.id} class=${s.narrow ? "" : "wide-only"} href=${href(s.parts)} aria-current=${s.id === current ? "page" : undefined} title=${`${s.label} (g ${s.key})`}>
      <${Icon} name=${s.icon} /><span class="label">${s.label}</span>
      ${s.id === "now" && failing > 0 && html`<span class="badge dead" aria-label=${`${failing} need you`}>${failing > 99 ? "99+" : failing}</span>`}
    </a>`)}
    <div class="foot">
      <button type="button" class="narrow-only" onClick=${openPalette} title="All screens and actions"><${Icon} name="more" /><span class="label">More</span></button>
      <button type="button" class="wide-only" onClick=${openPalette} title="Go to or do anything (Ctrl-K)"><${Icon} name="search" /><span class="label">Go to… <kbd>Ctrl K</kbd></span></button>
      <button type="button" class="wide-only" onClick=${toggleTheme} title="Light or dark (t)"><${Icon} name=${theme.get() === "dark" ? "sun" : "moon"} /><span class="label">${theme.get() === "dark" ? "Light" : "Dark"}</span></button>
      <button type="button" class="wide-only" onClick=${showHelp} title="Keyboard (?)"><${Icon} name="help" /><span class="label">Keyboard</span></button>
    </div>
  </nav>`;
}

/** Says when the session does not answer. Above the page, so that nothing moves. */
function Gone() {
  const state = useCell(link);
  if (state !== "gone") return null;
  return html`<div class="gone-bar" role="alert"><span class="live-dot gone"></span><span>The session does not answer. Start <code>wpy dev</code> again; this page comes back by itself.</span></div>`;
}

/** @param {{name: string, route: import("./router.js").Route}} props */
function Screen({ name, route }) {
  const [loaded, setLoaded] = useState(/** @type {{name: string, View: any} | {name: string, error: Error} | null} */ (null));
  useEffect(() => {
    let here = true;
    MODULES[name]().then(
      (module) => here && setLoaded({ name, View: module.default }),
      (error) => here && setLoaded({ name, error }),
    );
    return () => void (here = false);
  }, [name]);
  if (!loaded || loaded.name !== name) return html`<div class="page"></div>`;
  if ("error" in loaded) return html`<div class="page"><div class="note bad">This screen could not be loaded: ${loaded.error.message}. <button type="button" class="btn small" onClick=${() => location.reload()}>Load again</button></div></div>`;
  const { View } = loaded;
  return html`<${View} parts=${route.parts} params=${route.params} key=${["queue", "message", "trace", "cron", "batch"].includes(name) ? route.parts[1] : name} />`;
}

/** Tells screen readers what changes, at most once in a while. */
function Herald() {
  const o = useCell(overview);
  const state = useCell(link);
  const [said, setSaid] = useState("");
  const dead = o?.counts?.dead ?? 0;
  const failing = (o?.failures ?? []).length;
  useEffect(() => {
    const timer = setTimeout(() => setSaid(state === "gone" ? "The session does not answer." : o ? `${plural(failing, "kind")} of failures, ${plural(dead, "dead letter")}.` : ""), 1500);
    return () => clearTimeout(timer);
  }, [dead, failing, state]);
  return html`<div class="only-read" aria-live="polite">${said}</div>`;
}

start();
// What index.html shows until now is only the frame.
const app = document.getElementById("app");
app.replaceChildren();
render(html`<${App} />`, app);
document.documentElement.dataset.version = session.version;
addEventListener("pageshow", (event) => event.persisted && refresh());
// The other screens are small: have them before they are asked for.
addEventListener("load", () => setTimeout(() => Object.values(MODULES).forEach((load) => load().catch(() => {})), 600));
