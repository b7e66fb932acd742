// A Python Worker of the session, as JavaScript Workers are bound to it: `fetch`, and every method by RPC.
import { WorkerEntrypoint } from "cloudflare:workers";
import { Session, decode, property } from "./wpy-rpc.js";

// Names that workerd itself looks for in an entrypoint.
const OWN = new Set(["constructor", "fetch", "connect", "queue", "scheduled", "tail", "tailStream", "trace", "alarm", "test", "email"]);

export default class Python extends WorkerEntrypoint {
	constructor(ctx, env) {
		super(ctx, env);
		const methods = new Proxy(Python.prototype, {
			get: (own, name) => {
				if (typeof name === "symbol" || OWN.has(name) || name in Object.prototype) return Reflect.get(own, name, this);
				return property((path, args) => call(ctx, env, path, args), [name]);
			},
			has: (own, name) => typeof name === "string" || name in own,
		});
		Object.setPrototypeOf(this, methods);
	}

	async fetch(request) {
		const response = await this.env.WPY_FETCH.fetch(request, { redirect: "manual" });
		if (!response.headers.has("x-wpy-thrown")) return response;
		throw decode(await response.json());
	}
}

async function call(ctx, env, path, args) {
	const { webSocket } = await env.WPY_RPC.fetch("http://wpy/", { headers: { upgrade: "websocket" } });
	const session = new Session(webSocket, () => {});
	ctx.waitUntil(session.ended);
	return session.ask("invoke", path, args && (await session.encode(args)));
}
