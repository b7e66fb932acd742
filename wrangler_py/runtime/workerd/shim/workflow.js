// An instance of a workflow that runs here: its `run()`, and the steps that it asks for. The engine is wpy's
// (wrangler_py/workflows), which knows what was done before; it is asked over one WebSocket an instance.
import { Session, encode } from "./wpy-rpc.js";

// When nothing more is asked for so long after an answer, the engine is told: until then the session's clock waits.
const REST_MS = 20;
const LONGEST_TIMEOUT = 2 ** 31 - 1;
// The header of a kept answer whose body is the stream that a step has returned.
const STREAM = "wpy-step-stream";
const STANDARD = [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError, AggregateError];

// The WebSocket over which wpy has `run()` begin. `make` makes the workflow's object.
export function instance(make, within) {
	const [client, server] = Object.values(new WebSocketPair());
	const session = new Session(
		server,
		(kind, event) =>
			within(async () => {
				const step = new WorkflowStep(session);
				session.ended.then(() => step.over());
				try {
					return await make().run(session.decode(event), step);
				} catch (error) {
					console.error(`\u0002Uncaught ${error?.stack ?? error}`);
					throw session.decode(thrown(error));
				} finally {
					step.over();
				}
			}),
		{ mute: true },
	);
	return new Response(null, { status: 101, webSocket: client });
}

class WorkflowStep {
	#session;
	#counts = new Map();
	#answers = 1; // the start is the first
	#questions = 0;

	constructor(session) {
		this.#session = session;
	}

	async #ask(operation, ...args) {
		const question = ++this.#questions;
		const answer = JSON.parse(await this.#session.ask("invoke", ["step"], [this.#answers, operation, ...args]));
		if (answer[0] !== "run") {
			this.#answers++;
			setTimeout(() => this.#rest(question), REST_MS);
		}
		return answer;
	}

	// Nobody asks any more whether it rests.
	over() {
		this.#questions++;
	}

	#rest(question) {
		if (question === this.#questions) this.#session.ask("invoke", ["step"], [this.#answers, "rest"]);
	}

	#result([kind, wire]) {
		const value = this.#session.decode(wire);
		if (kind === "error") throw Object.assign(value, { remote: true });
		return value instanceof Response && value.headers.has(STREAM) ? value.body : value;
	}

	#count(kind, name) {
		const key = `${kind}-${name}`;
		this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
		return this.#counts.get(key);
	}

	async do(name, config, callback) {
		const call = callback ?? config;
		if (typeof call !== "function") throw new TypeError(`step.do("${name}") needs a function.`);
		const text = String(name);
		const count = this.#count("do", text);
		let answer = await this.#ask("do", text, count, await encode(callback ? config : undefined));
		while (answer[0] === "run") {
			const [, number, settings, timeout] = answer;
			const context = { step: { name: text, count }, attempt: number, config: this.#session.decode(settings) };
			answer = await this.#ask("done", text, count, number, ...(await attempt(call, context, timeout)));
		}
		return this.#result(answer);
	}

	async sleep(name, duration) {
		this.#result(await this.#ask("sleep", String(name), this.#count(`sleep-${duration}`, name), duration));
	}

	async sleepUntil(name, moment) {
		const time = moment instanceof Date ? moment.getTime() : new Date(moment).getTime();
		if (Number.isNaN(time)) throw new TypeError(`step.sleepUntil("${name}") needs a Date or a number of milliseconds.`);
		// From this Worker's own now: the session's clock may stand elsewhere.
		this.#result(await this.#ask("sleep_until", String(name), this.#count("sleepUntil", name), time - Date.now()));
	}

	async waitForEvent(name, { type, timeout = "24 hours" } = {}) {
		return this.#result(await this.#ask("wait", String(name), this.#count("wait", name), String(type), timeout));
	}
}

// Whether a step's function went well, and its result or error on the wire.
async function attempt(call, context, timeout) {
	let timer;
	const late = new Promise((_, reject) => {
		const error = new Error(`WorkflowTimeoutError: Execution timed out after ${timeout}ms`);
		timer = setTimeout(() => reject(error), Math.min(timeout, LONGEST_TIMEOUT));
	});
	try {
		const value = await Promise.race([(async () => call(context))(), late]);
		if (!(value instanceof ReadableStream)) return [true, await encode(value)];
		const [, bytes] = await encode(await new Response(value).arrayBuffer());
		return [true, ["response", 200, "", [[STREAM, "1"]], bytes]];
	} catch (error) {
		return [false, thrown(error)];
	} finally {
		clearTimeout(timer);
	}
}

// An error as workerd's RPC passes it on: one that is none of JavaScript's own has its name in the message.
function thrown(error) {
	let [name, message] = ["Error", String(error)];
	if (error instanceof Error || error instanceof DOMException) {
		({ name, message } = error);
		const own = error instanceof DOMException || STANDARD.some((Kind) => Kind.name === name);
		if (!own) [name, message] = ["Error", `${name}: ${message}`];
	} else if (typeof error === "object" && error !== null) message = `#<${error.constructor?.name ?? "Object"}>`;
	return ["err", name, message, null, [["remote", true]]];
}
