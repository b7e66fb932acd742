// The worker that is measured. workers/python/src/entry.py does the same (but for /kv and /d1); change both or neither.

const VERSION = "v0";
const PAD = "x".repeat(130);

type Body = { run: number; i: number; sent: number; keep: boolean; pad: string };
type Options = { delaySeconds?: number };
type Producer = (queue: Queue<Body>, run: number, numbers: number[], options: Options) => Promise<void>;

/** What came of the messages of one run. Numbers are unique within a run, so duplicates show. */
class Run {
	seen = new Uint8Array(0);
	count = 0;
	duplicates = 0;
	batches = 0;
	firstSent: number | null = null;
	lastHandled: number | null = null;
	records: number[][] = [];

	note(number: number) {
		if (number >= this.seen.length) {
			const grown = new Uint8Array(Math.max(number + 1, 2 * this.seen.length));
			grown.set(this.seen);
			this.seen = grown;
		}
		if (this.seen[number]) {
			this.duplicates++;
		} else {
			this.seen[number] = 1;
			this.count++;
		}
	}
}

const runs = new Map<number, Run>();
const gate = { open: false };

function message(run: number, number: number, keep = false): Body {
	return { run, i: number, sent: Date.now(), keep, pad: PAD };
}

const PRODUCERS: Record<string, Producer> = {
	async "/sequential"(queue, run, numbers, options) {
		for (const number of numbers) {
			await queue.send(message(run, number), options);
		}
	},
	async "/batches"(queue, run, numbers, options) {
		for (let start = 0; start < numbers.length; start += 100) {
			const bodies = numbers.slice(start, start + 100).map((number) => ({ body: message(run, number) }));
			await queue.sendBatch(bodies, options);
		}
	},
	async "/concurrent"(queue, run, numbers, options) {
		for (let start = 0; start < numbers.length; start += 100) {
			const sends = numbers.slice(start, start + 100).map((number) => queue.send(message(run, number), options));
			await Promise.all(sends);
		}
	},
};

type Env = Record<string, Queue<Body>> & { KV: KVNamespace; DB: D1Database };

/** `n` writes and `n` reads, one after the other. */
const STORES: Record<string, (env: Env, n: number) => Promise<void>> = {
	async "/kv"(env, n) {
		for (let i = 0; i < n; i++) {
			await env.KV.put(`key-${i % 100}`, PAD);
			await env.KV.get(`key-${i % 100}`);
		}
	},
	async "/d1"(env, n) {
		await env.DB.exec("CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, pad TEXT)");
		for (let i = 0; i < n; i++) {
			const { meta } = await env.DB.prepare("INSERT INTO rows (pad) VALUES (?)").bind(PAD).run();
			await env.DB.prepare("SELECT pad FROM rows WHERE id = ?").bind(meta.last_row_id).first();
		}
	},
};

export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		const url = new URL(request.url);
		if (url.pathname === "/ping") {
			return new Response("pong");
		}
		if (url.pathname === "/version") {
			return new Response(VERSION);
		}
		const query = url.searchParams;
		if (url.pathname === "/gate") {
			gate.open = query.get("open") === "1";
			return new Response("ok");
		}
		if (url.pathname in STORES) {
			const started = Date.now();
			await STORES[url.pathname](env, Number(query.get("n")));
			return Response.json({ started, finished: Date.now() });
		}
		const run = Number(query.get("run"));
		if (url.pathname === "/stats") {
			const r = runs.get(run) ?? new Run();
			return Response.json({
				count: r.count,
				duplicates: r.duplicates,
				batches: r.batches,
				first_sent: r.firstSent,
				last_handled: r.lastHandled,
			});
		}
		if (url.pathname === "/records") {
			return Response.json(runs.get(run)?.records ?? []);
		}
		if (url.pathname === "/received") {
			const seen = runs.get(run)?.seen ?? new Uint8Array(0);
			return Response.json([...seen.keys()].filter((number) => seen[number]));
		}
		const queue = env[query.get("queue")!];
		const options: Options = query.has("delay") ? { delaySeconds: Number(query.get("delay")) } : {};
		if (url.pathname === "/send") {
			await queue.send(message(run, Number(query.get("i")), query.has("keep")), options);
			return new Response("sent");
		}
		const first = Number(query.get("from") ?? 0);
		const numbers = Array.from({ length: Number(query.get("n")) }, (_, k) => first + k);
		const started = Date.now();
		await PRODUCERS[url.pathname](queue, run, numbers, options);
		return Response.json({ started, finished: Date.now() });
	},

	async queue(batch: MessageBatch<Body>): Promise<void> {
		const started = Date.now();
		if (batch.queue === "gated") {
			while (!gate.open) {
				await new Promise((resolve) => setTimeout(resolve, 5));
			}
		}
		let run: Run | undefined;
		for (const message of batch.messages) {
			const body = message.body;
			run = runs.get(body.run);
			if (run === undefined) {
				run = new Run();
				runs.set(body.run, run);
			}
			run.note(body.i);
			if (run.firstSent === null || body.sent < run.firstSent) {
				run.firstSent = body.sent;
			}
			if (body.keep) {
				run.records.push([body.i, body.sent, message.timestamp.getTime(), started]);
			}
		}
		if (run !== undefined) {
			run.batches++;
			run.lastHandled = Date.now();
		}
	},
};
