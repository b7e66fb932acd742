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
    # 2: what Cloudflare's REST API keeps: consumers made through it, leases of pull consumers, event subscriptions.
    #
    # `consumer` holds one row a queue, as production allows one consumer; those that a config names stand in `attachment`
    # for as long as their session lives. A message that a pull consumer holds has the owner -1, and its row in `lease` says
    # until when. A lease outlives its end (state 'expired'), because production accepts a late acknowledgement.
    # `message.source` (0 a Worker, 1 the REST API) and `delay_seconds` (the delay asked for) are shown with a pulled message.
    """
    ALTER TABLE queue ADD COLUMN jurisdiction TEXT;
    ALTER TABLE queue ADD COLUMN purge_started_ms INTEGER;
    ALTER TABLE queue ADD COLUMN purge_ended_ms INTEGER;
    ALTER TABLE message ADD COLUMN source INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE message ADD COLUMN delay_seconds INTEGER;
    CREATE TABLE consumer (
        id TEXT PRIMARY KEY,
        queue_id INTEGER NOT NULL UNIQUE,
        type TEXT NOT NULL CHECK (type IN ('worker', 'http_pull')),
        script TEXT NOT NULL DEFAULT '',
        environment TEXT NOT NULL DEFAULT '',
        dead_letter_queue TEXT,
        created_ms INTEGER NOT NULL,
        settings TEXT NOT NULL DEFAULT '{}'
    );
    CREATE TABLE lease (
        id BLOB PRIMARY KEY,
        queue_id INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'expired', 'settled')),
        until_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX lease_until ON lease (state, until_ms);
    CREATE INDEX lease_message ON lease (seq);
    CREATE TABLE event_subscription (
        id TEXT PRIMARY KEY,
        queue_id TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        modified_ms INTEGER NOT NULL,
        name TEXT NOT NULL,
        enabled INTEGER NOT NULL,
        source TEXT NOT NULL,
        events TEXT NOT NULL
    );
    """,
    # 3: what became of every message of every batch, and why. One row a batch: `settlements` is a JSON list of
    # [message id, attempt, action, reason, "file:line" or null, delay in seconds].
    """
    CREATE TABLE batch (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        queue TEXT NOT NULL,
        worker TEXT NOT NULL,
        started_ms INTEGER NOT NULL,
        ms INTEGER NOT NULL,
        outcome TEXT NOT NULL,
        error TEXT,
        settlements TEXT NOT NULL
    );
    CREATE INDEX batch_of_queue ON batch (queue, id);
    """,
    # 4: where a dead letter comes from: the queue in which its retries ran out. By name, because that queue may be deleted
    # and made again while its dead letters wait. Null: not a dead letter.
    """
    ALTER TABLE message ADD COLUMN died_in TEXT;
    """,
    # 5: a commit of one message writes two pages instead of five (queues/backlog.py says how the counters, the numbers and
    # the ages do without). An index entry for a message that waits by its age only where that differs from its place in the
    # order of delivery. The body stands last again.
    """
    CREATE TABLE counted (
        seq INTEGER NOT NULL,
        latest_ms INTEGER NOT NULL
    );
    INSERT INTO counted SELECT
        coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'message'), 0),
        coalesce((SELECT max(entered_ms) FROM message), 0);
    DROP INDEX message_waiting;
    DROP INDEX message_leased;
    DROP INDEX message_age;
    ALTER TABLE message RENAME TO message_4;
    CREATE TABLE message (
        seq INTEGER PRIMARY KEY,
        queue_id INTEGER NOT NULL,
        id BLOB NOT NULL,
        content_type INTEGER NOT NULL,
        created_ms INTEGER NOT NULL,
        entered_ms INTEGER NOT NULL,
        visible_ms INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        owner INTEGER NOT NULL DEFAULT 0,
        source INTEGER NOT NULL DEFAULT 0,
        delay_seconds INTEGER,
        died_in TEXT,
        body BLOB NOT NULL
    );
    INSERT INTO message SELECT
        seq, queue_id, id, content_type, created_ms, entered_ms, visible_ms, attempts, owner, source, delay_seconds, died_in,
        body
    FROM message_4 ORDER BY seq;
    DROP TABLE message_4;
    CREATE INDEX message_waiting ON message (queue_id, visible_ms, seq) WHERE owner = 0;
    CREATE INDEX message_shifted ON message (queue_id, entered_ms) WHERE owner = 0 AND visible_ms <> entered_ms;
    CREATE INDEX message_leased ON message (queue_id, entered_ms) WHERE owner <> 0;
    """,
    # 6: up to which number the sends in a worker's outbox file are stored (queues/outbox_marks.py).
    """
    CREATE TABLE outbox (
        name TEXT PRIMARY KEY,
        stored INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
    # 7: how often a dead letter was delivered in the queue that it died in.
    """
    ALTER TABLE message ADD COLUMN died_after INTEGER;
    """,
)

VERSION = len(MIGRATIONS)
