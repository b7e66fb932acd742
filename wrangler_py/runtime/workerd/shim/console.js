// Loaded before the Worker's own modules: every line of its console says which Worker and which event printed it.
import { AsyncLocalStorage } from "node:async_hooks";
import { worker, tagged } from "./wpy-worker.js";

export const event = new AsyncLocalStorage();

if (tagged) {
	for (const level of ["log", "info", "warn", "error", "debug", "trace"]) {
		const print = console[level].bind(console);
		console[level] = (...args) => {
			const tag = `\u0001${worker}\u0001${event.getStore() ?? ""}\u0001`;
			// Only the first argument may hold %s and the like.
			if (typeof args[0] === "string") print(tag + args[0], ...args.slice(1));
			else print(tag, ...args);
		};
	}
}

// workerd says nothing of a promise that nobody waits for.
addEventListener("unhandledrejection", (rejection) => {
	const { reason } = rejection;
	console.error(`\u0002Uncaught (in promise) ${reason?.stack ?? reason}`);
});
