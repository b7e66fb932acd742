/** One function a type of task. What it returns is the task's result; what it throws has the task tried again. */
type Handler = (payload: Record<string, unknown>, attempt: number) => Promise<unknown>;

/** The task can never succeed: it is not tried again. */
export class Hopeless extends Error {}

export const handlers: Record<string, Handler> = {
	async "word-count"(payload) {
		if (typeof payload.text !== "string") throw new Hopeless("word-count needs a text");
		return { words: payload.text.split(/\s+/).filter(Boolean).length };
	},

	async fetch(payload) {
		const response = await fetch(String(payload.url));
		if (!response.ok) throw new Error(`${payload.url} answered ${response.status}`);
		return { status: response.status, bytes: (await response.arrayBuffer()).byteLength };
	},

	/** For trying things out: fails until its `succeed_on` attempt. */
	async flaky(payload, attempt) {
		if (attempt < Number(payload.succeed_on ?? Infinity)) throw new Error(`attempt ${attempt} failed as asked`);
		return { attempt };
	},
};
