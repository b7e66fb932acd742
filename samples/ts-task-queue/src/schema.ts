import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** migrations/0001_tasks.sql makes it. */
export const tasks = sqliteTable("tasks", {
	id: text("id").primaryKey(),
	type: text("type").notNull(),
	payload: text("payload", { mode: "json" }).notNull().$type<Record<string, unknown>>(),
	status: text("status", { enum: ["queued", "done", "retrying", "failed"] }).notNull().default("queued"),
	attempts: integer("attempts").notNull().default(0),
	error: text("error"),
	result: text("result", { mode: "json" }),
	updatedAt: integer("updated_at", { mode: "timestamp_ms" }).notNull(),
});
