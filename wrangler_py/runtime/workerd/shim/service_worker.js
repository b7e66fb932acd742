// A Worker in the service worker format: its bindings are global, and it listens for its events. `worker` makes of its
// listeners the handlers that a Worker in the modules format exports.
import { env } from "cloudflare:workers";

const KINDS = new Set(["fetch", "scheduled", "queue", "tail", "trace"]);
const listeners = new EventTarget();
const heard = new Set();

for (const [name, value] of Object.entries(env)) {
	Object.defineProperty(globalThis, name, { value, writable: true, enumerable: true, configurable: true });
}

for (const method of ["addEventListener", "removeEventListener"]) {
	const original = globalThis[method];
	globalThis[method] = function (type, ...rest) {
		if (!KINDS.has(type)) return original.call(globalThis, type, ...rest);
		heard.add(type);
		return listeners[method](type, ...rest);
	};
}

class ExtendableEvent extends Event {
	#ctx;
	work = [];

	constructor(type, ctx, values) {
		super(type);
		this.#ctx = ctx;
		Object.assign(this, values);
	}

	waitUntil(promise) {
		this.work.push(promise);
		this.#ctx.waitUntil(promise);
	}

	passThroughOnException() {
		this.#ctx.passThroughOnException();
	}
}

class FetchEvent extends ExtendableEvent {
	response;

	respondWith(response) {
		if (this.response !== undefined) throw new Error("FetchEvent.respondWith() has already been called; it can only be called once.");
		this.response = Promise.resolve(response);
		this.stopImmediatePropagation();
	}
}

async function heardOut(event) {
	listeners.dispatchEvent(event);
	await Promise.all(event.work);
}

const HANDLERS = {
	fetch(request, _, ctx) {
		const event = new FetchEvent("fetch", ctx, { request });
		listeners.dispatchEvent(event);
		return event.response ?? fetch(request);
	},
	scheduled(controller, _, ctx) {
		const { cron, scheduledTime } = controller;
		return heardOut(new ExtendableEvent("scheduled", ctx, { cron, scheduledTime, noRetry: () => controller.noRetry() }));
	},
	queue(batch, _, ctx) {
		const { queue, messages, metadata } = batch;
		const all = { ackAll: () => batch.ackAll(), retryAll: (options) => batch.retryAll(options) };
		return heardOut(new ExtendableEvent("queue", ctx, { queue, messages, metadata, ...all }));
	},
	tail(events, _, ctx) {
		return heardOut(new ExtendableEvent(heard.has("tail") ? "tail" : "trace", ctx, { events, traces: events }));
	},
};

// Call it when the Worker's script has run.
export function worker() {
	if (heard.has("trace")) heard.add("tail");
	const handlers = Object.entries(HANDLERS).filter(([type]) => heard.has(type));
	if (handlers.length > 0) return Object.fromEntries(handlers);
	throw new Error("No event handlers were registered. This script does nothing.");
}
