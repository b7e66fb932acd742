"""Tables and their migrations. The statements that use a table stand beside the room that owns it."""

from __future__ import annotations

#: One entry per version: the statements that lead from the version before to this one. Entries are never edited once
#: released; a change is a new entry. The file's version is SQLite's `user_version`.
MIGRATIONS: tuple[str, ...] = (
    # 1: queues, messages, sessions.
    #
    # Layout of `message`: a rowid table whose claim index holds only what nobody has leased. It was the flattest of six
    # layouts from an empty queue to a million messages (cost per message at most 1.4 times). `seq` never comes back,
    # not even after the table was emptied (AUTOINCREMENT), so that it orders messages for all time. `created_ms` is when
    # the message was sent, `entered_ms` when it came into the queue it is in: that of a dead letter is later, and its
    # retention begins anew. The body stands last: SQLite walks through a long one to reach the columns behind it.
    """
    CREATE TABLE queue (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        uuid TEXT NOT NULL UNIQUE,
        created_ms INTEGER NOT NULL,
        modified_ms INTEGER NOT NULL,
        delivery_delay INTEGER NOT NULL DEFAULT 0,
        message_retention_period INTEGER NOT NULL DEFAULT 345600,
        delivery_paused INTEGER NOT NULL DEFAULT 0,
        backlog_count INTEGER NOT NULL DEFAULT 0,
        backlog_bytes INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE message (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        queue_id INTEGER NOT NULL,
        id BLOB NOT NULL,
        content_type INTEGER NOT NULL,
        created_ms INTEGER NOT NULL,
        entered_ms INTEGER NOT NULL,
        visible_ms INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        owner INTEGER NOT NULL DEFAULT 0,
        body BLOB NOT NULL
    );
    CREATE INDEX message_waiting ON message (queue_id, visible_ms, seq) WHERE owner = 0;
    CREATE INDEX message_leased ON message (owner) WHERE owner <> 0;
    CREATE INDEX message_age ON message (queue_id, entered_ms);
    CREATE TABLE session (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        pid INTEGER NOT NULL,
        started_ms INTEGER NOT NULL,
        url TEXT,
        token TEXT
    );
    CREATE TABLE attachment (
        session_id INTEGER NOT NULL,
        role TEXT NOT NULL CHECK (role IN ('producer', 'consumer')),
        queue TEXT NOT NULL,
        worker TEXT NOT NULL,
        detail TEXT NOT NULL DEFAULT '{}',
        PRIMARY KEY (session_id, role, queue, worker, detail)
    ) WITHOUT ROWID;
    """,
)

VERSION = len(MIGRATIONS)
