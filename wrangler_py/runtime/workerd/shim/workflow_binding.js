// `env.<WORKFLOW>`: `env.wpy` leads to wpy's engine.
import { decode, encode } from "wpy-internal:rpc";

async function call(env, method, ...args) {
	const answer = await env.wpy.fetch("http://wpy/", { method: "POST", body: JSON.stringify([method, ...args]) });
	if (!answer.ok) throw new Error(await answer.text());
	return decode(await answer.json());
}

async function fields(options) {
	const { id, params } = options ?? {};
	// What is no text is refused as an id that has no form.
	return [id === undefined || id === null ? null : typeof id === "string" ? id : false, await encode(params === undefined ? {} : params)];
}

class WorkflowImpl {
	#env;
	constructor(env) {
		this.#env = env;
	}
	async create(options) {
		return new InstanceImpl(await call(this.#env, "create", ...(await fields(options))), this.#env);
	}
	async createBatch(batch) {
		if (!Array.isArray(batch)) throw new TypeError("createBatch takes an array of {id, params}");
		const made = await call(this.#env, "createBatch", await Promise.all(batch.map(fields)));
		return made.map((id) => new InstanceImpl(id, this.#env));
	}
	async get(id) {
		const instance = new InstanceImpl(String(id), this.#env);
		await instance.status();
		return instance;
	}
}

class InstanceImpl {
	#env;
	constructor(id, env) {
		this.id = id;
		this.#env = env;
	}
	status() {
		return call(this.#env, "status", this.id);
	}
	pause() {
		return call(this.#env, "pause", this.id);
	}
	resume() {
		return call(this.#env, "resume", this.id);
	}
	terminate() {
		return call(this.#env, "terminate", this.id);
	}
	restart() {
		return call(this.#env, "restart", this.id);
	}
	async sendEvent({ type, payload }) {
		await call(this.#env, "sendEvent", this.id, type === undefined ? null : String(type), await encode(payload));
	}
}

export default function (env) {
	return new WorkflowImpl(env);
}
