/** The screens: their addresses, their keys (`g` and a letter) and the module of each, loaded when it is first shown. */

/** @typedef {{id: string, label: string, icon: string, key: string, parts: string[], narrow?: boolean}} Screen */

/** @type {Screen[]} */
export const SCREENS = [
  { id: "now", label: "Now", icon: "now", key: "n", parts: [], narrow: true },
  { id: "queues", label: "Queues", icon: "queues", key: "q", parts: ["queues"], narrow: true },
  { id: "messages", label: "Messages", icon: "search", key: "m", parts: ["messages"], narrow: true },
  { id: "batches", label: "Batches", icon: "batches", key: "b", parts: ["batches"] },
  { id: "crons", label: "Crons", icon: "crons", key: "c", parts: ["crons"], narrow: true },
  { id: "alarms", label: "Alarms", icon: "alarms", key: "a", parts: ["alarms"] },
  { id: "traces", label: "Traces", icon: "traces", key: "t", parts: ["traces"], narrow: true },
  { id: "state", label: "State", icon: "state", key: "s", parts: ["state"] },
  { id: "faults", label: "Faults", icon: "warn", key: "f", parts: ["faults"] },
  { id: "logs", label: "Logs", icon: "code", key: "l", parts: ["logs"] },
  { id: "limits", label: "Limits", icon: "limits", key: "i", parts: ["limits"] },
];

/** Which entry of the navigation an address belongs to. */
export const HOME_OF = { queue: "queues", message: "messages", trace: "traces", cron: "crons", batch: "batches" };

/** @type {Record<string, () => Promise<{default: (props: {parts: string[], params: URLSearchParams}) => any}>>} */
export const MODULES = {
  now: () => import("./screens/now.js"),
  queues: () => import("./screens/queues.js"),
  queue: () => import("./screens/queue.js"),
  messages: () => import("./screens/messages.js"),
  message: () => import("./screens/message.js"),
  batches: () => import("./screens/batches.js"),
  batch: () => import("./screens/batches.js"),
  crons: () => import("./screens/crons.js"),
  cron: () => import("./screens/cron.js"),
  alarms: () => import("./screens/alarms.js"),
  traces: () => import("./screens/traces.js"),
  trace: () => import("./screens/trace.js"),
  state: () => import("./screens/state.js"),
  faults: () => import("./screens/faults.js"),
  logs: () => import("./screens/logs.js"),
  limits: () => import("./screens/limits.js"),
};
