import { RAW } from "cloudflare-internal:email";

// Bindings with one method, each answered by wpy. `env.kind` says which, `env.wpy` leads there.
async function call(env, method, args) {
	const answer = await env.wpy.fetch("http://wpy/", { method: "POST", body: JSON.stringify({ method, args }) });
	if (!answer.ok) throw new Error(await answer.text());
	return answer.json();
}

class RateLimit {
	#env;
	constructor(env) {
		this.#env = env;
	}
	async limit(options) {
		if (typeof options !== "object" || options === null) throw new Error("invalid rate limit options");
		const unknown = Object.keys(options).filter((name) => !["key", "limit", "period"].includes(name));
		if (unknown.length > 0) throw new Error(`bad rate limit options: [${unknown.join(",")}]`);
		const { key = "", limit = this.#env.limit, period = this.#env.period } = options;
		if (typeof key !== "string") throw new Error(`invalid key: ${key}`);
		if (typeof limit !== "number") throw new Error(`limit must be a number: ${limit}`);
		if (period !== 10 && period !== 60) throw new Error(`unsupported period: ${period}`);
		return { success: await call(this.#env, "limit", [key, limit, period]) };
	}
}

function members(point, name, most) {
	const given = point?.[name] ?? [];
	if (!Array.isArray(given)) throw new TypeError(`writeDataPoint(): '${name}' is not an array.`);
	if (given.length > most) throw new TypeError(`writeDataPoint(): Maximum of ${most} ${name} supported.`);
	return given;
}

function text(value) {
	if (value === null || value === undefined || typeof value === "string") return value ?? null;
	return value instanceof ArrayBuffer || ArrayBuffer.isView(value) ? new TextDecoder().decode(value) : String(value);
}

class AnalyticsEngineDataset {
	#env;
	constructor(env) {
		this.#env = env;
	}
	writeDataPoint(point) {
		const [index = null] = members(point, "indexes", 1).map(text);
		const blobs = members(point, "blobs", 20).map(text);
		const doubles = members(point, "doubles", 20).map(Number);
		// Nobody waits for it; it is on its way when this returns.
		call(this.#env, "write", [index, blobs, doubles]).catch((error) => console.error(error));
	}
}

class SecretsStoreSecret {
	#env;
	constructor(env) {
		this.#env = env;
	}
	get() {
		return call(this.#env, "get", []);
	}
}

const address = (given) => (typeof given === "object" && given !== null ? (given.name ? `"${given.name}" <${given.email}>` : given.email) : given);

class SendEmail {
	#env;
	constructor(env) {
		this.#env = env;
	}
	async send(message) {
		const { from, to, subject, html, text: plain } = message ?? {};
		for (const [name, given] of Object.entries({ from, to })) {
			if (!given) throw new TypeError(`send(): the message has no \`${name}\``);
		}
		const raw = message[RAW] ?? message.raw;
		const fields = {
			from: address(from),
			to: Array.isArray(to) ? to.map(address) : address(to),
			subject: subject ?? null,
			html: html ?? null,
			text: plain ?? null,
			raw: raw === undefined ? null : await new Response(raw).text(),
		};
		return { messageId: await call(this.#env, "send", [fields]) };
	}
}

const KINDS = { ratelimit: RateLimit, analytics: AnalyticsEngineDataset, secret: SecretsStoreSecret, email: SendEmail };

export default function (env) {
	return new KINDS[env.kind](env);
}
