// The entry module of every JavaScript Worker: its own entry, seen through what wpy has to know of its events.
import { event } from "./wpy-console.js";
import * as module from "./wpy-user.js";
import { Session, along } from "./wpy-rpc.js";
import { instance } from "./wpy-workflow.js";
import { WorkerEntrypoint, WorkflowEntrypoint } from "cloudflare:workers";

export * from "./wpy-user.js";

const user = module.default;
const isClass = typeof user === "function" && user.prototype instanceof WorkerEntrypoint;

// What became of messages: by id, where `retry()` was called, until the dispatcher fetches it.
const calls = new Map();
const errors = new Map();
const patched = new WeakSet();

function watch(prototype, method, key) {
	if (prototype === null || patched.has(prototype) || typeof prototype[method] !== "function") return;
	const original = prototype[method];
	const seen = function (...args) {
		const at = {};
		Error.captureStackTrace(at, seen);
		const id = key(this);
		if (!calls.has(id)) calls.set(id, [method, at.stack]);
		return original.apply(this, args);
	};
	prototype[method] = seen;
	patched.add(prototype);
}

async function onQueue(handler, batch) {
	const first = batch.messages[0];
	if (first !== undefined) watch(Object.getPrototypeOf(first), "retry", (message) => message.id);
	watch(Object.getPrototypeOf(batch), "retryAll", (all) => `*${all.messages[0]?.id}`);
	return event.run(`queue ${batch.queue}`, async () => {
		try {
			return await handler();
		} catch (error) {
			errors.set(first?.id, text(error));
			throw error;
		}
	});
}

function onScheduled(handler, controller) {
	return event.run(`cron ${controller.cron}`, async () => {
		try {
			return await handler();
		} catch (error) {
			errors.set(`cron ${controller.cron} ${controller.scheduledTime}`, text(error));
			throw error;
		}
	});
}

function text(error) {
	if (!(error instanceof Error)) return String(error);
	const cause = error.cause === undefined ? "" : `\n  [cause]: ${text(error.cause)}`;
	return (error.stack ?? `${error.name}: ${error.message}`) + cause;
}

function wrapClass(User) {
	const Wrapped = class extends User {};
	if (User.prototype.queue) {
		Wrapped.prototype.queue = function (batch) {
			return onQueue(() => super_(this, "queue", batch), batch);
		};
	}
	if (User.prototype.scheduled) {
		Wrapped.prototype.scheduled = function (controller) {
			return onScheduled(() => super_(this, "scheduled", controller), controller);
		};
	}
	const super_ = (self, name, argument) => User.prototype[name].call(self, argument);
	return Wrapped;
}

function wrapObject(user) {
	const wrapped = {};
	for (const name of ["fetch", "tail", "trace", "tailStream", "email", "test", "connect", "alarm"]) {
		if (typeof user[name] === "function") wrapped[name] = (...args) => user[name](...args);
	}
	if (typeof user.queue === "function") {
		wrapped.queue = (batch, env, ctx) => onQueue(() => user.queue(batch, env, ctx), batch);
	}
	if (typeof user.scheduled === "function") {
		wrapped.scheduled = (controller, env, ctx) => onScheduled(() => user.scheduled(controller, env, ctx), controller);
	}
	return wrapped;
}

export default isClass ? wrapClass(user) : user === undefined ? {} : wrapObject(user);

const HANDLERS = ["fetch", "queue", "scheduled", "tail", "email"];

// What wpy's front door and dispatcher speak with; Workers of the session reach the default export above.
export class WpyFront extends WorkerEntrypoint {
	async fetch(request) {
		if (request.headers.has("wpy-rpc")) return this.called();
		if (request.headers.has("wpy-workflow")) return this.workflow(...JSON.parse(request.headers.get("wpy-workflow")));
		const { pathname } = new URL(request.url);
		return event.run(`${request.method} ${pathname}`, async () => {
			try {
				const target = request.headers.get("wpy-target");
				if (target !== null) return await this.named(request, ...JSON.parse(target));
				const handler = isClass ? new user(this.ctx, this.env) : user;
				if (typeof handler?.fetch !== "function") throw new Error("Handler does not export a fetch() function.");
				const response = await handler.fetch(request, this.env, this.ctx);
				if (response instanceof Response) return response;
				throw new TypeError("Incorrect type for Promise: the Promise did not resolve to 'Response'.");
			} catch (error) {
				return new Response(text(error), { status: 500, headers: { "x-wpy-uncaught": "1" } });
			}
		});
	}

	// An entrypoint that a Python Worker is bound to.
	async named(request, name, props) {
		const Entrypoint = name === null || name === "default" ? user : module[name];
		if (Entrypoint === undefined) throw new TypeError(`The Worker has no entrypoint ${name}.`);
		const headers = new Headers(request.headers);
		headers.delete("wpy-target");
		const plain = new Request(request, { headers });
		if (props !== null && props !== undefined) Object.defineProperty(this.ctx, "props", { value: props });
		if (typeof Entrypoint !== "function") return Entrypoint.fetch(plain, this.env, this.ctx);
		return new Entrypoint(this.ctx, this.env).fetch(plain);
	}

	// A Python Worker calls a method of an entrypoint: by workerd's own RPC, so that its rules hold.
	called() {
		const [client, server] = Object.values(new WebSocketPair());
		const session = new Session(server, (kind, name, props, path, args) => {
			const { exports } = this.ctx;
			if (exports === undefined) {
				throw new Error("A Python Worker calls methods through ctx.exports: take disable_ctx_exports out of compatibility_flags.");
			}
			const entrypoint = exports[name ?? "default"];
			if (entrypoint === undefined) throw new TypeError(`The Worker has no entrypoint ${name ?? "default"}.`);
			const target = props === null ? entrypoint : entrypoint({ props });
			return along(target, path, args && args.map((wire) => session.decode(wire)));
		});
		return new Response(null, { status: 101, webSocket: client });
	}

	// An instance of a workflow begins.
	workflow(name, label) {
		const make = () => {
			const Workflow = module[name];
			if (Workflow === undefined) {
				const there = Object.keys(module).filter((other) => module[other]?.prototype instanceof WorkflowEntrypoint);
				throw new Error(`The Worker exports no Workflow class ${name}. It exports: ${there.join(", ") || "none"}.`);
			}
			return new Workflow(this.ctx, this.env);
		};
		return instance(make, (run) => event.run(label, run));
	}

	about() {
		const handlers = isClass ? user.prototype : (user ?? {});
		return { handlers: HANDLERS.filter((name) => typeof handlers[name] === "function") };
	}

	// The calls of these messages, and the error of their batch.
	take(ids) {
		const taken = {};
		for (const id of [...ids, `*${ids[0]}`]) {
			if (calls.has(id)) taken[id] = calls.get(id);
			calls.delete(id);
		}
		const error = errors.get(ids[0]);
		errors.delete(ids[0]);
		return { calls: taken, error };
	}
}
