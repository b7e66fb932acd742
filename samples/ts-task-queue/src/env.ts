/** What goes through the queue; the payload stands in the database. */
export interface TaskMessage {
	id: string;
}

export interface Env {
	DB: D1Database;
	ARCHIVE: R2Bucket;
	TASKS: Queue<TaskMessage>;
}
