// Calls between this workerd and the session's Python Workers: one WebSocket for each, over which both sides also call
// the functions and read the streams that they gave each other. Values are wpy's wire values (runtime/worker/rpc_values.py)
// in JSON: undefined is null, null is ["null"], bytes are {b: base64}, numbers that JSON does not have are {f: text}.

// A Worker made for a date that allows only short WebSocket messages must have long calls too.
const PIECE = 200_000;
const STANDARD = { Error, RangeError, TypeError, SyntaxError, ReferenceError, EvalError, URIError, AggregateError };
const OF_THE_WEB = ["DataCloneError", "AbortError", "TimeoutError", "OperationError", "NotSupportedError", "NetworkError"];
const VIEWS = Object.getPrototypeOf(Uint8Array);
const GONE = "The RPC stub is gone: the call that it was made for is over, or its Worker was reloaded.";

export class Session {
	#socket;
	#answer;
	#incoming = "";
	#next = 0;
	#asked = new Map(); // by the number of a question: [resolve, reject]
	#origin;
	#kept = new Map(); // what the other side may call, by number
	#holders = new Map();
	#readers = new Map();
	#remotes = 0; // what this side holds of others
	#busy = 0;
	#begun;
	#begin;
	#end;
	#mute;

	// `mute`: who asked is never answered when the connection ends, instead of being told so.
	// `answer(kind, ...)` is asked what the other side asks of this one, apart from calls of what was given to it.
	constructor(socket, answer, { mute = false } = {}) {
		this.#socket = socket;
		this.#answer = answer;
		this.#mute = mute;
		this.ended = new Promise((resolve) => (this.#end = resolve));
		this.#begun = new Promise((resolve) => (this.#begin = resolve));
		socket.accept();
		socket.addEventListener("message", ({ data }) => this.#came(data));
		socket.addEventListener("close", () => this.#lost());
		socket.addEventListener("error", () => this.#lost());
	}

	// The value of a question. Throws what the other side threw.
	async ask(...question) {
		this.#busy++;
		try {
			return await new Promise((resolve, reject) => {
				const id = ++this.#next;
				this.#asked.set(id, [resolve, reject]);
				this.#send([question[0], id, ...question.slice(1)]);
			});
		} finally {
			this.#busy--;
			this.#rest();
		}
	}

	// Arguments on the wire.
	async encode(values) {
		await this.#begun;
		return values.map((value) => new Encoder(this).whole(value));
	}

	decode(wire) {
		return new Decoder(this).value(wire);
	}

	#send(message) {
		const text = JSON.stringify(message);
		let at = 0;
		for (; text.length - at > PIECE; at += PIECE) this.#socket.send("+" + text.slice(at, at + PIECE));
		this.#socket.send("." + text.slice(at));
	}

	#came(data) {
		this.#incoming += data.slice(1);
		if (data[0] === "+") return;
		const [kind, id, ...rest] = JSON.parse(this.#incoming);
		this.#incoming = "";
		if (kind === "origin") this.#begin((this.#origin = id));
		else if (kind === "reply") this.#replied(id, ...rest);
		else this.#asks(kind, id, rest);
	}

	#replied(id, good, wire) {
		const [resolve, reject] = this.#asked.get(id);
		this.#asked.delete(id);
		try {
			const value = this.decode(wire);
			if (good) resolve(value);
			else reject(value);
		} catch (error) {
			reject(error);
		}
	}

	async #asks(kind, id, rest) {
		this.#busy++;
		try {
			const value = await (kind === "call" ? this.#called(...rest) : this.#answer(kind, ...rest));
			this.#send(["reply", id, true, new Encoder(this).whole(value)]);
		} catch (error) {
			this.#send(["reply", id, false, new Encoder(this).whole(error, true)]);
		} finally {
			this.#busy--;
			this.#rest();
		}
	}

	#lost() {
		if (!this.#mute) for (const [, reject] of this.#asked.values()) reject(new Error(GONE));
		this.#asked.clear();
		for (const number of [...this.#kept.keys()]) this.#drop(number);
		this.#begin();
		this.#end();
	}

	// Nothing is asked and nothing is held any more.
	#rest() {
		if (this.#busy > 0 || this.#remotes > 0 || this.#kept.size > 0) return;
		this.#socket.close(1000, "");
		this.#end();
	}

	// What is given away ---------------------------------------------------------------------------------------------

	keep(value) {
		for (const [number, kept] of this.#kept) {
			if (kept !== value) continue;
			this.#holders.set(number, this.#holders.get(number) + 1);
			return [this.#origin, number];
		}
		const number = ++this.#next;
		// What came as an argument is let go when the call returns, unless it is held once more.
		this.#kept.set(number, typeof value === "function" && typeof value.dup === "function" ? value.dup() : value);
		this.#holders.set(number, 1);
		return [this.#origin, number];
	}

	#drop(number) {
		const left = (this.#holders.get(number) ?? 1) - 1;
		this.#holders.set(number, left);
		if (left > 0) return;
		const value = this.#kept.get(number);
		this.#kept.delete(number);
		this.#holders.delete(number);
		this.#readers.delete(number);
		if (!(value instanceof ReadableStream)) value?.[Symbol.dispose]?.();
	}

	async #called(number, path, args) {
		const target = this.#kept.get(number);
		const [name] = path;
		if (name === " release") return void this.#drop(number);
		if (name === " retain") return void this.#holders.set(number, this.#holders.get(number) + 1);
		if (target === undefined) throw new Error(GONE);
		if (target instanceof ReadableStream) return this.#read(number, target, name);
		return along(target, path, args && args.map((wire) => this.decode(wire)));
	}

	async #read(number, stream, how) {
		if (!this.#readers.has(number)) this.#readers.set(number, stream.getReader());
		const reader = this.#readers.get(number);
		if (how === "cancel") {
			this.#drop(number);
			return void (await reader.cancel());
		}
		try {
			for (;;) {
				const { done, value } = await reader.read();
				if (done) break;
				const data = typeof value === "string" ? new TextEncoder().encode(value) : new Uint8Array(value.buffer ?? value, value.byteOffset, value.byteLength);
				if (data.length > 0) return data.slice().buffer;
			}
		} catch (error) {
			this.#drop(number);
			throw error;
		}
		this.#drop(number);
	}

	// What others keep -------------------------------------------------------------------------------------------------

	stub(origin, number) {
		if (origin === this.#origin) {
			const kept = this.#kept.get(number);
			this.#drop(number);
			return kept;
		}
		this.#remotes++;
		let held = true;
		const call = async (path, args) => this.ask("call", origin, number, path, args && (await this.encode(args)));
		const stub = (...args) => call([], args);
		stub[Symbol.dispose] = () => {
			if (!held) return;
			held = false;
			this.#remotes--;
			call([" release"], null).catch(() => {});
		};
		return stub;
	}

	stream(origin, number) {
		if (origin === this.#origin) return this.stub(origin, number);
		this.#remotes++;
		const { readable, writable } = new IdentityTransformStream();
		this.#pump(origin, number, writable.getWriter());
		return readable;
	}

	async #pump(origin, number, writer) {
		try {
			for (;;) {
				let piece;
				try {
					piece = await this.ask("call", origin, number, ["read"], []);
				} catch (error) {
					await writer.abort(error);
					return;
				}
				if (piece === undefined) {
					await writer.close();
					return;
				}
				await writer.write(new Uint8Array(piece));
			}
		} catch {
			// Nobody reads it any more.
			await this.ask("call", origin, number, ["cancel"], []).catch(() => {});
		} finally {
			this.#remotes--;
			this.#rest();
		}
	}
}

// Go along `path` from `target`, and call what is there when there are arguments.
export async function along(target, path, args) {
	const names = [...path];
	const last = args ? names.pop() : undefined;
	const holder = names.reduce((value, name) => value[name], target);
	if (!args) return holder;
	return last === undefined ? holder(...args) : holder[last](...args);
}

// A value that is to be kept: what it holds of this Worker cannot be called later, and whoever keeps it refuses it.
export function encode(value) {
	return new Encoder({ keep: () => [0, 0] }).whole(value);
}

// A value that holds nothing of another Worker, like an error.
export function decode(wire) {
	return new Decoder(null).value(wire);
}

// A function that is also a promise: whoever uses `stub.name` may call it, or wait for its value.
export function property(call, path) {
	const made = (...args) => call(path, args);
	let value;
	const once = () => (value ??= call(path, null));
	made.then = (...handlers) => once().then(...handlers);
	made.catch = (...handlers) => once().catch(...handlers);
	made.finally = (...handlers) => once().finally(...handlers);
	return made;
}

class Encoder {
	#session;
	#seen = new Map();

	constructor(session) {
		this.#session = session;
	}

	// A value on the wire; `thrown`: as an error that came from afar.
	whole(value, thrown = false) {
		return thrown ? this.#thrown(value) : this.#value(value);
	}

	#value(value) {
		switch (typeof value) {
			case "undefined":
				return null;
			case "boolean":
			case "string":
				return value;
			case "number":
				return Number.isFinite(value) && !Object.is(value, -0) ? value : { f: Object.is(value, -0) ? "-0" : String(value) };
			case "bigint":
				return ["big", String(value)];
			case "function":
				return ["stub", ...this.#session.keep(value), "function"];
			case "symbol":
				throw uncloneable("symbol");
		}
		if (value === null) return ["null"];
		if (this.#seen.has(value)) return ["ref", this.#seen.get(value)];
		this.#seen.set(value, this.#seen.size);
		return this.#object(value);
	}

	#object(value) {
		const prototype = Object.getPrototypeOf(value);
		if (Array.isArray(value)) return ["list", value.map((item) => this.#value(item))];
		if (prototype === Object.prototype || prototype === null) return ["obj", this.#entries(value)];
		if (value instanceof Map) return ["map", [...value].map(([key, item]) => [this.#value(key), this.#value(item)])];
		if (value instanceof Set) return ["set", [...value].map((item) => this.#value(item))];
		if (value instanceof Date) return ["date", this.#value(value.getTime())];
		if (value instanceof ArrayBuffer) return ["buf", bytes(new Uint8Array(value))];
		if (ArrayBuffer.isView(value)) {
			const data = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
			return ["view", value instanceof VIEWS ? value[Symbol.toStringTag] : "DataView", bytes(data)];
		}
		if (value instanceof RegExp) return ["re", value.source, value.flags];
		if (value instanceof Error) return ["err", value.name, value.message, value.stack ?? null, this.#entries(value)];
		if (value instanceof Headers) return ["headers", [...value]];
		if (value instanceof ReadableStream) return ["stream", ...this.#session.keep(value)];
		if (value instanceof Request) return ["request", value.method, value.url, [...value.headers], this.#body(value)];
		if (value instanceof Response) return ["response", value.status, value.statusText, [...value.headers], this.#body(value)];
		throw uncloneable(prototype.constructor?.name ?? "Object");
	}

	#entries(value) {
		return Object.entries(value).map(([key, item]) => [key, this.#value(item)]);
	}

	#body(value) {
		if (value.bodyUsed) throw new TypeError("Body has already been used. It can only be used once. Use tee() first if you need to read it twice.");
		return value.body === null ? null : ["stream", ...this.#session.keep(value.body)];
	}

	#thrown(error) {
		if (!(error instanceof Error)) return this.#value(error);
		const extra = Object.entries(error).filter(([, item]) => ["string", "number", "boolean"].includes(typeof item));
		const wire = extra.filter(([key]) => key !== "remote").map(([key, item]) => [key, this.#value(item)]);
		return ["err", error.name, error.message, `${error.name}: ${error.message}`, [...wire, ["remote", true]]];
	}
}

class Decoder {
	#session;
	#made = [];

	constructor(session) {
		this.#session = session;
	}

	value(wire) {
		if (wire === null) return undefined;
		if (typeof wire !== "object") return wire;
		if (!Array.isArray(wire)) return "f" in wire ? Number(wire.f) : unpacked(wire);
		const [tag, content, more] = wire;
		if (tag === "null") return null;
		if (tag === "big") return BigInt(content);
		if (tag === "ref") return this.#made[content];
		if (tag === "stub") return this.#session.stub(content, more);
		const place = this.#made.push(undefined) - 1;
		const made = (value) => (this.#made[place] = value);
		if (tag === "list") return this.#fill(made([]), content, (list, item) => list.push(this.value(item)));
		if (tag === "obj") return this.#fill(made({}), content, (object, [key, item]) => define(object, key, this.value(item)));
		if (tag === "map") return this.#fill(made(new Map()), content, (map, [key, item]) => map.set(this.value(key), this.value(item)));
		if (tag === "set") return this.#fill(made(new Set()), content, (set, item) => set.add(this.value(item)));
		return made(this.#leaf(wire));
	}

	#fill(made, items, add) {
		for (const item of items) add(made, item);
		return made;
	}

	#leaf([tag, ...wire]) {
		switch (tag) {
			case "date":
				return new Date(this.value(wire[0]));
			case "buf":
				return unpacked(wire[0]);
			case "view":
				return new globalThis[wire[0]](unpacked(wire[1]));
			case "re":
				return new RegExp(wire[0], wire[1]);
			case "err":
				return this.#error(...wire);
			case "headers":
				return new Headers(wire[0]);
			case "stream":
				return this.#session.stream(wire[0], wire[1]);
			case "request":
				return new Request(wire[1], { method: wire[0], headers: wire[2], body: this.#content(wire[3]), redirect: "manual" });
			case "response":
				return new Response(this.#content(wire[3]), { status: wire[0], statusText: wire[1], headers: wire[2] });
		}
		throw new Error(`unknown wire value ${tag}`);
	}

	#content(body) {
		if (body === null) return undefined;
		return Array.isArray(body) ? this.#session.stream(body[1], body[2]) : unpacked(body);
	}

	#error(name, message, stack, entries) {
		const Kind = STANDARD[name];
		let error;
		if (OF_THE_WEB.includes(name)) error = new DOMException(message, name);
		else error = Kind === AggregateError ? new AggregateError([], message) : new (Kind ?? Error)(message);
		if (error.name !== name) define(error, "name", name);
		if (stack !== null && !(error instanceof DOMException)) define(error, "stack", stack);
		for (const [key, item] of entries) define(error, key, this.value(item), true);
		return error;
	}
}

function define(object, key, value, enumerable = !(object instanceof Error)) {
	Object.defineProperty(object, key, { value, enumerable, writable: true, configurable: true });
}

function uncloneable(type) {
	return new DOMException(`Could not serialize object of type "${type}". This type does not support serialization.`, "DataCloneError");
}

function bytes(array) {
	let text = "";
	for (let at = 0; at < array.length; at += 8192) text += String.fromCharCode(...array.subarray(at, at + 8192));
	return { b: btoa(text) };
}

function unpacked(wire) {
	const text = atob(wire.b);
	const array = new Uint8Array(text.length);
	for (let at = 0; at < text.length; at++) array[at] = text.charCodeAt(at);
	return array.buffer;
}
