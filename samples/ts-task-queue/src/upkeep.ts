import { and, eq, inArray, lt } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { Env } from "./env";
import { tasks } from "./schema";

const FORGOTTEN_MS = 60 * 60 * 1000;

/** Queue again what has been waiting for an hour: the send after its insert may have failed. */
export async function requeueForgotten(env: Env, now: number): Promise<void> {
	const before = new Date(now - FORGOTTEN_MS);
	const forgotten = await drizzle(env.DB)
		.select({ id: tasks.id })
		.from(tasks)
		.where(and(eq(tasks.status, "queued"), lt(tasks.updatedAt, before)))
		.limit(100);
	if (forgotten.length > 0) await env.TASKS.sendBatch(forgotten.map(({ id }) => ({ body: { id } })));
	console.log(`${forgotten.length} forgotten tasks were queued again`);
}

/** Write what is over to R2, one JSON object a line, and remove it from the database. */
export async function exportDone(env: Env, now: number): Promise<void> {
	const db = drizzle(env.DB);
	const over = await db.select().from(tasks).where(inArray(tasks.status, ["done", "failed"]));
	if (over.length === 0) return console.log("nothing to export");
	const key = `${new Date(now).toISOString().slice(0, 10)}.ndjson`;
	await env.ARCHIVE.put(key, over.map((task) => `${JSON.stringify(task)}\n`).join(""));
	for (const { id } of over) await db.delete(tasks).where(eq(tasks.id, id));
	console.log(`${over.length} tasks were exported to ${key}`);
}
