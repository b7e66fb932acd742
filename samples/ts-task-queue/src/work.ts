import { eq, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { Env, TaskMessage } from "./env";
import { handlers, Hopeless } from "./handlers";
import { tasks } from "./schema";

const FIRST_DELAY_SECONDS = 5;
const MAX_DELAY_SECONDS = 12 * 60 * 60;

/** 5 s, 10 s, 20 s, ...: twice as long after every failure. */
export function backoff(attempt: number): number {
	return Math.min(FIRST_DELAY_SECONDS * 2 ** (attempt - 1), MAX_DELAY_SECONDS);
}

/** The consumer of `tasks`: each message is settled by itself. */
export async function work(batch: MessageBatch<TaskMessage>, env: Env): Promise<void> {
	await Promise.all(batch.messages.map((message) => runTask(message, env)));
}

async function runTask(message: Message<TaskMessage>, env: Env): Promise<void> {
	const db = drizzle(env.DB);
	const { id } = message.body;
	const [task] = await db.select().from(tasks).where(eq(tasks.id, id));
	// A queue may deliver twice: what is done is not done again.
	if (task === undefined || task.status === "done") return message.ack();
	const change = { attempts: message.attempts, updatedAt: new Date() };
	try {
		const result = await handlers[task.type](task.payload, message.attempts);
		await db.update(tasks).set({ ...change, status: "done", error: null, result: result as never }).where(eq(tasks.id, id));
		console.log(`task ${id} (${task.type}) is done`);
		message.ack();
	} catch (error) {
		const hopeless = error instanceof Hopeless;
		const status = hopeless ? "failed" : "retrying";
		await db.update(tasks).set({ ...change, status, error: String(error) }).where(eq(tasks.id, id));
		console.warn(`task ${id} (${task.type}): ${error}`);
		if (hopeless) message.ack();
		else message.retry({ delaySeconds: backoff(message.attempts) });
	}
}

/** The consumer of `tasks-dead`: what failed too often is marked, and waits for a person. */
export async function bury(batch: MessageBatch<TaskMessage>, env: Env): Promise<void> {
	const db = drizzle(env.DB);
	for (const message of batch.messages) {
		const change = { status: "failed" as const, updatedAt: new Date(), error: sql`'gave up after: ' || ${tasks.error}` };
		await db.update(tasks).set(change).where(eq(tasks.id, message.body.id));
		console.error(`task ${message.body.id} is given up`);
		message.ack();
	}
}
