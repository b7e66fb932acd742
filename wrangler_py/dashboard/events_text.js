/** What happened, in words: one line of the timeline for every kind of event. */
import { count, oneLine, plural, shortId, span } from "./format.js";
import { href } from "./router.js";

/**
 * @typedef {object} Line
 * @property {string} lane the column it stands in: a queue, "crons", "requests", ...
 * @property {string} shape a state or an icon
 * @property {"ok" | "bad" | "warn" | "quiet"} tone
 * @property {string} title @property {string} [note] @property {string} [to] an address
 */

/** What the kinds of faults are called. */
export const FAULTS = { fail: "fail batches", slow: "slow down batches", duplicate: "lose acknowledgements" };

/** @param {any} e an event of the API @returns {Line | null} null for what the timeline leaves out */
export function describe(e) {
  const d = e.data ?? {};
  const queue = e.queue ?? d.queue;
  const worker = e.worker ?? d.worker ?? "";
  const trace = e.traceId ? href(["trace", e.traceId]) : undefined;
  const took = d.ms === undefined || d.ms === null ? "" : span(d.ms);
  switch (e.kind) {
    case "request.finished":
      return { lane: "requests", shape: "request", tone: d.status >= 500 ? "bad" : d.status >= 400 ? "warn" : "ok", title: `${d.method} ${d.path} ${d.status}`, note: took, to: trace };
    case "api.finished":
      return { lane: "requests", shape: "request", tone: "quiet", title: `API ${d.method} ${d.path} ${d.status}`, note: took };
    case "message.sent": {
      const n = d.count ?? d.ids?.length ?? 1;
      return { lane: queue, shape: "ready", tone: "ok", title: `${plural(n, "message")} sent`, note: d.delaySeconds ?? d.delay_seconds ? `after ${d.delaySeconds ?? d.delay_seconds} s` : "", to: n === 1 && (d.id ?? d.ids?.[0]) ? href(["message", d.id ?? d.ids[0]]) : href(["queue", queue]) };
    }
    case "batch.started":
      return null; // its end says all
    case "batch.finished": {
      const failed = (d.total ?? 0) - (d.acked ?? 0);
      const bad = d.outcome !== undefined && d.outcome !== "ok";
      return { lane: queue, shape: bad ? "dead" : failed ? "retrying" : "acked", tone: bad ? "bad" : failed ? "warn" : "ok", title: d.total === undefined ? "batch finished" : `${count(d.acked)}/${count(d.total)} acked`, note: [bad ? firstLine(d.error) ?? d.outcome : "", took].filter(Boolean).join(" · "), to: d.batch ?? d.id ? href(["batch", String(d.batch ?? d.id)]) : trace };
    }
    case "message.retried":
      return { lane: queue, shape: "retrying", tone: "warn", title: `${shortId(d.id)} retries in ${d.delaySeconds ?? d.delay_seconds ?? 0} s`, note: why(d), to: href(["message", d.id]) };
    case "message.dead_lettered":
      return { lane: queue, shape: "dead", tone: "bad", title: `${shortId(d.id)} is a dead letter`, note: why(d), to: href(["message", d.id]) };
    case "message.dropped":
      return { lane: queue, shape: "dead", tone: "bad", title: `${shortId(d.id)} was dropped`, note: why(d), to: href(["message", d.id]) };
    case "message.expired":
      return { lane: queue, shape: "other", tone: "warn", title: `${plural(d.count ?? 1, "message")} expired` };
    case "message.replayed":
      return { lane: queue, shape: "replay", tone: "ok", title: `${plural(d.count ?? 1, "message")} replayed` };
    case "message.discarded":
      return { lane: queue, shape: "trash", tone: "quiet", title: `${plural(d.count ?? 1, "message")} discarded` };
    case "message.redriven":
      return { lane: queue, shape: "replay", tone: "ok", title: `${plural(d.count ?? 1, "dead letter")} sent back here` };
    case "message.hastened":
      return { lane: queue, shape: "forward", tone: "quiet", title: `${plural(d.count ?? 1, "message")} made ready now` };
    case "message.restored":
      return { lane: queue, shape: "replay", tone: "quiet", title: `${plural(d.count ?? 1, "message")} brought back` };
    case "queue.updated":
      return { lane: queue, shape: d.delivery_paused ? "paused" : "queues", tone: "quiet", title: d.delivery_paused ? "delivery is paused" : "settings changed, delivery goes on" };
    case "queue.purged":
      return { lane: queue, shape: "trash", tone: "warn", title: `purged, ${plural(d.count ?? 0, "message")}` };
    case "queue.created":
      return { lane: queue, shape: "queues", tone: "quiet", title: "queue created" };
    case "queue.unconsumed":
      return { lane: queue, shape: "warn", tone: "warn", title: "nobody consumes this queue" };
    case "fault.added":
      return { lane: queue, shape: "warn", tone: "warn", title: `fault set: ${FAULTS[d.fault] ?? d.fault}`, note: d.percent < 100 ? `${d.percent} %` : "", to: href(["faults"]) };
    case "fault.removed":
      return { lane: queue, shape: "other", tone: "quiet", title: `fault taken away: ${FAULTS[d.fault] ?? d.fault}`, note: `struck ${count(d.struck)}×`, to: href(["faults"]) };
    case "cron.fired":
      return null;
    case "cron.finished":
      return { lane: "crons", shape: d.outcome === "ok" || d.ok ? "acked" : "dead", tone: d.outcome && d.outcome !== "ok" ? "bad" : "ok", title: d.cron ?? "cron", note: [d.outcome && d.outcome !== "ok" ? firstLine(d.error) ?? d.outcome : "", took].filter(Boolean).join(" · "), to: trace ?? href(["cron", worker, d.cron ?? ""]) };
    case "cron.missed":
      return { lane: "crons", shape: "warn", tone: "warn", title: `${d.cron}: ${plural(d.count ?? 1, "run")} missed` };
    case "cron.rejected":
      return { lane: "crons", shape: "dead", tone: "bad", title: `${d.cron} would be refused`, note: d.error };
    case "worker.printed":
      return { lane: "logs", shape: d.level === "error" ? "dead" : d.level === "warn" ? "warn" : "code", tone: d.level === "error" ? "bad" : d.level === "warn" ? "warn" : "quiet", title: oneLine(d.text).slice(0, 300), note: "", to: trace };
    case "worker.reloaded":
      return { lane: "session", shape: "replay", tone: "ok", title: `${worker} reloaded`, note: took };
    case "worker.load_failed":
      return { lane: "session", shape: "dead", tone: "bad", title: `${worker} could not be loaded`, note: lastLine(d.error) };
    case "worker.warned":
      return { lane: "session", shape: "warn", tone: "warn", title: `${worker}: ${oneLine(d.text)}`.slice(0, 300) };
    case "worker.crashed":
      return { lane: "session", shape: "dead", tone: "bad", title: `${worker} crashed`, note: d.reason };
    case "worker.blocked":
      return { lane: "session", shape: "warn", tone: "warn", title: `${worker} was blocked for ${Number(d.seconds ?? 0).toFixed(1)} s`, note: d.where };
    case "clock.moved":
      return { lane: "session", shape: "forward", tone: "quiet", title: `clock moved ${span((d.toMs ?? d.to_ms ?? 0) - (d.fromMs ?? d.from_ms ?? 0))} ahead` };
    case "clock.frozen":
      return { lane: "session", shape: "freeze", tone: "quiet", title: "clock stands still" };
    case "clock.resumed":
      return { lane: "session", shape: "play", tone: "quiet", title: "clock runs on" };
    case "task.started":
      return null;
    case "task.finished":
      return { lane: "tasks", shape: d.outcome && d.outcome !== "ok" ? "dead" : "acked", tone: d.outcome && d.outcome !== "ok" ? "bad" : "ok", title: `waitUntil of ${d.label ?? worker}`, note: took, to: trace };
    default: {
      const [room, what = ""] = e.kind.split(".");
      const lane = queue ?? (room === "alarm" ? "alarms" : room === "workflow" ? "workflows" : "session");
      const bad = /fail|gave_up|error|crash/.test(what);
      return { lane, shape: bad ? "dead" : "other", tone: bad ? "bad" : "quiet", title: `${room} ${what.replaceAll("_", " ")}`, note: d.name ?? d.class_name ?? d.workflow ?? d.error ?? "", to: trace };
    }
  }
}

/** @param {any} d */
const why = (d) => (d.where ? `${d.reason} at ${d.where}` : (d.reason ?? ""));
/** @param {string | null | undefined} text */
const firstLine = (text) => text?.split("\n")[0];
/** @param {string | null | undefined} text */
const lastLine = (text) => text?.trimEnd().split("\n").at(-1);
