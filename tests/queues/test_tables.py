"""The statements about queues: answered by indexes, and counters that stay true when a lease is lost."""

import re

from wrangler_py.queues import backlog, tables
from wrangler_py.queues.message import Message

from .harness import Room, says

#: For commands, and for what happens once in a blue moon.
WALKS = {"_QUEUES", "_COUNTS", "_RECOUNT", "_LATEST_ENTERED"}
#: One row; and in backlog.py the few rows that indexes gave.
ONE_ROW = ("SCAN counted",)
FEW_ROWS = (
    "SCAN counted",
    "SCAN (subquery",
    "SCAN tail",
    "USE TEMP B-TREE FOR GROUP BY",
    "USE TEMP B-TREE FOR ORDER BY",
)


async def test_what_the_loop_asks_is_answered_by_an_index(room: Room):
    """So a batch costs the same whatever waits behind it: no statement walks through a table or sorts."""
    statements = {
        name: text
        for name, text in {**vars(tables), **vars(backlog)}.items()
        if isinstance(text, str) and text.split()[0] in ("SELECT", "UPDATE", "DELETE") and name not in WALKS
    }
    assert len(statements) >= 10
    for name, sql in statements.items():
        named = dict.fromkeys(("queue", "now", "by", "first", "end"), 0)
        parameters = (
            named if ":queue" in sql else (0,) * (max(map(int, re.findall(r"\?(\d)", sql)), default=sql.count("?")))
        )
        plan = [row[3] for row in room.store.query(f"EXPLAIN QUERY PLAN {sql}", parameters)]
        assert plan, name
        walks = [step for step in plan if step.startswith("SCAN") or "TEMP B-TREE" in step]
        assert not [step for step in walks if not step.startswith(FEW_ROWS if name in vars(backlog) else ONE_ROW)], (
            name,
            plan,
        )


async def test_a_lease_that_another_hand_took_is_not_settled_twice(room: Room):
    """The messages of a batch are given to another session while the handler runs: what this one says of them is
    void, and the counters stay true."""
    handler = room.consume(max_batch_size=3, max_batch_timeout=0, max_retries=0, dead_letter_queue="dead")
    handler.hold()
    await room.send("a", "b", "c")
    await room.quiet()
    room.store.write(lambda c: c.execute("UPDATE message SET owner = 99"))
    handler.finish(says("exception", ack=["a"], retry=["b"])(handler.calls[0].batch))
    await room.quiet()
    assert room.rows(columns="owner") == [99, 99, 99]
    assert room.left("dead") == []
    assert room.backlog() == (3, 3)


async def test_a_message_that_is_gone_is_not_counted_twice(room: Room):
    handler = room.consume(max_batch_size=2, max_batch_timeout=0)
    handler.hold()
    await room.send("a", "bb")
    await room.quiet()

    def purge(connection):
        connection.execute("DELETE FROM message")
        connection.execute("UPDATE queue SET backlog_count = 0, backlog_bytes = 0")

    room.store.write(purge)
    handler.finish()
    await room.quiet()
    assert room.backlog() == (0, 0)


async def test_a_queue_is_made_once(room: Room):
    first = room.broker.ensure_queue("q")
    assert room.broker.ensure_queue("q") == first
    assert room.broker.record("q") == first
    assert room.of("queue.created") == [{"queue": "q"}]
    assert [record.name for record in tables.all_queues(room.store)] == ["q"]
    assert tables.find_queue(room.store, "other") is None


async def test_counts_say_where_the_messages_are(room: Room):
    handler = room.consume(max_batch_size=2, max_batch_timeout=0, max_concurrency=1)
    handler.hold()
    await room.send("a", "b", "c", ("d", 5), ("e", 5), ("f", 5))
    await room.quiet()
    queue_id = room.broker.record("q").id
    assert tables.counts(room.store, queue_id, room.clock.now_ms()) == tables.Counts(ready=1, delayed=3, in_flight=2)


async def test_messages_keep_their_order_when_one_moment_sends_many(room: Room):
    handler = room.consume(max_batch_size=100, max_batch_timeout=1)
    for n in range(30):
        await room.send(f"{n:02}")
    await room.advance(1)
    assert handler.flat == [f"{n:02}" for n in range(30)]
    assert all(isinstance(m, Message) for m in handler.calls[0].batch.messages)


async def test_the_backlog_is_exact_at_every_moment_and_in_every_process(room: Room, tmp_path):
    """Few messages or many, counted in already or not, sent here or there."""
    there = Room(room.folder, room.clock)
    count = 0
    for size in (1, 1, 62, 1, 1, 100, 3):
        for sender in (room, there):
            metrics = await sender.send(*["x"] * size)
            count += size
            assert (metrics.backlog_count, metrics.backlog_bytes) == (count, count)
            assert room.backlog() == there.backlog() == (count, count)
    await there.close()


async def test_a_number_never_comes_back(room: Room):
    """Not even after the table was emptied: a lease of long ago must not hold a message of today."""
    given: set[int] = set()
    room.consume(max_batch_timeout=0)
    for burst in (1, 70, 1, 1):
        room.consumers["q"].hold()
        await room.send(*["x"] * burst)
        seqs = set(room.rows(columns="seq"))
        assert len(seqs) == burst and not seqs & given
        given |= seqs
        room.consumers["q"].open()
        await room.quiet()
        assert room.left() == []
