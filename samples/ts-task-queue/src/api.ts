import { desc, eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { Hono } from "hono";
import type { Env } from "./env";
import { handlers } from "./handlers";
import { tasks } from "./schema";

export const api = new Hono<{ Bindings: Env }>();

api.post("/tasks", async (c) => {
	const { type, payload = {} } = await c.req.json<{ type?: string; payload?: Record<string, unknown> }>();
	if (type === undefined || !Object.hasOwn(handlers, type)) {
		return c.json({ error: `type must be one of ${Object.keys(handlers).join(", ")}` }, 400);
	}
	const id = crypto.randomUUID();
	await drizzle(c.env.DB).insert(tasks).values({ id, type, payload, updatedAt: new Date() });
	await c.env.TASKS.send({ id });
	return c.json({ id, status: "queued" }, 202);
});

api.get("/tasks", async (c) => {
	return c.json(await drizzle(c.env.DB).select().from(tasks).orderBy(desc(tasks.updatedAt)).limit(100));
});

api.get("/tasks/:id", async (c) => {
	const [task] = await drizzle(c.env.DB).select().from(tasks).where(eq(tasks.id, c.req.param("id")));
	return task === undefined ? c.json({ error: "There is no such task." }, 404) : c.json(task);
});

api.get("/archive", async (c) => {
	const { objects } = await c.env.ARCHIVE.list();
	return c.json(objects.map(({ key, size }) => ({ key, size })));
});

api.get("/archive/:name", async (c) => {
	const object = await c.env.ARCHIVE.get(c.req.param("name"));
	return object === null ? c.notFound() : c.body(object.body, 200, { "content-type": "application/x-ndjson" });
});

api.onError((error, c) => (error instanceof SyntaxError ? c.json({ error: "send JSON" }, 400) : Promise.reject(error)));
