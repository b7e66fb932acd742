CREATE TABLE tasks (
	id TEXT PRIMARY KEY,
	type TEXT NOT NULL,
	payload TEXT NOT NULL,
	status TEXT NOT NULL DEFAULT 'queued',
	attempts INTEGER NOT NULL DEFAULT 0,
	error TEXT,
	result TEXT,
	updated_at INTEGER NOT NULL
);
CREATE INDEX tasks_by_status ON tasks (status, updated_at);
