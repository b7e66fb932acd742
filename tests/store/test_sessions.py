"""Who has a state folder open: real processes, killed for real."""

import fcntl
import time

import pytest
from processes import children

from wrangler_py.store.database import StateError, open_store
from wrangler_py.store.sessions import attachments, living_sessions, open_session


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path)
    yield store
    store.close()


def leases(store):
    rows = store.query("SELECT body, attempts, owner FROM message ORDER BY seq")
    return [(body.decode(), attempts, owner) for body, attempts, owner in rows]


def test_a_killed_sessions_messages_are_taken_back_with_their_attempt_counted(store, tmp_path):
    with children(tmp_path) as (child,):
        child.do("start")
        child.do("send", "a", "b", "c")
        assert child.do("claim", "2") == "a:1 b:1"
        child.kill()
    assert leases(store) == [("a", 1, 1), ("b", 1, 1), ("c", 0, 0)]
    session = open_session(store, 5)
    assert session.recovered == 2
    assert leases(store) == [("a", 1, 0), ("b", 1, 0), ("c", 0, 0)]
    session.close()
    with children(tmp_path) as (child,):
        assert child.do("start") == "3 0"
        assert child.do("claim", "9") == "a:2 b:2 c:1"


def test_killed_again_and_again_a_message_counts_every_attempt(tmp_path):
    for attempt in range(1, 5):
        with children(tmp_path) as (child,):
            assert child.do("start") == f"{attempt} {0 if attempt == 1 else 1}"
            if attempt == 1:
                child.do("send", "a")
            assert child.do("claim", "1") == f"a:{attempt}"
            child.kill()


def test_a_living_sessions_leases_stay(store, tmp_path):
    with children(tmp_path, 3) as (dead, living, starter):
        dead.do("start")
        living.do("start")
        dead.do("send", "a", "b", "c", "d")
        assert dead.do("claim", "2") == "a:1 b:1"
        assert living.do("claim", "1") == "c:1"
        dead.kill()
        assert starter.do("start") == "3 2"
        assert leases(store) == [("a", 1, 0), ("b", 1, 0), ("c", 1, 2), ("d", 0, 0)]
        assert [s.id for s in living_sessions(store)] == [2, 3]
        assert starter.do("claim", "9") == "a:2 b:2 d:1"


def test_sessions_that_start_at_once_each_get_their_own_number_and_share_what_the_dead_one_held(store, tmp_path):
    with children(tmp_path, 4) as (dead, *starters):
        dead.do("start")
        dead.do("send", *"abcdef")
        dead.do("claim", "6")
        dead.kill()
        for starter in starters:
            starter.tell("start")
        answers = [starter.answer().split() for starter in starters]
        assert sorted(session_id for session_id, _ in answers) == ["2", "3", "4"]
        assert sorted(recovered for _, recovered in answers) == ["0", "0", "6"]
        for starter in starters:
            starter.tell("claim", "6")
        claimed = [message for starter in starters for message in starter.answer().split()]
        assert sorted(claimed) == [f"{body}:2" for body in "abcdef"]  # each of them once


def test_one_session_starts_at_a_time(store, tmp_path):
    """A session has its row before it has its lock; another start at that moment would take it for dead."""
    open_session(store, 0).close()
    with children(tmp_path) as (child,), (tmp_path / "sessions" / "start.lock").open("wb") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        child.tell("start")
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            assert store.query("SELECT * FROM session") == []
            time.sleep(0.01)
        fcntl.flock(starting, fcntl.LOCK_UN)
        assert child.answer() == "2 0"


def test_a_session_that_ends_in_order_leaves_nothing_behind(store, tmp_path):
    with children(tmp_path) as (child,):
        child.do("start")
        child.do("send", "a", "b")
        child.do("claim", "1")
        assert (tmp_path / "sessions" / "1.lock").exists()
        child.do("close")
    assert leases(store) == [("a", 1, 0), ("b", 0, 0)]
    assert store.query("SELECT * FROM session") == []
    assert living_sessions(store) == []
    assert sorted(p.name for p in (tmp_path / "sessions").iterdir()) == ["start.lock"]


def test_the_dead_are_buried(store, tmp_path):
    with children(tmp_path, 2) as killed:
        for child in killed:
            child.do("start")
        for child in killed:
            child.kill()
    assert len(store.query("SELECT * FROM session")) == 2
    assert living_sessions(store) == []
    session = open_session(store, 0)
    assert store.query("SELECT id FROM session") == [(3,)]
    assert sorted(p.name for p in (tmp_path / "sessions").iterdir()) == ["3.lock", "start.lock"]
    session.close()


def test_a_session_killed_between_its_row_and_its_lock_is_dead(store, tmp_path):
    store.write(lambda c: c.execute("INSERT INTO session (pid, started_ms) VALUES (1, 1)"))
    assert living_sessions(store) == []
    session = open_session(store, 0)
    assert [s.id for s in living_sessions(store)] == [session.id]
    session.close()


def test_a_lock_file_counts_only_while_it_is_locked(store, tmp_path):
    """A pid proves nothing: it is given to other processes. So does the mere existence of the file."""
    session = open_session(store, 0)
    assert [s.id for s in living_sessions(store)] == [session.id]
    session._lock.close()  # what the operating system does when the process dies
    assert (tmp_path / "sessions" / f"{session.id}.lock").exists()
    assert living_sessions(store) == []


def test_two_sessions_of_one_process_are_two(store):
    first, second = open_session(store, 0), open_session(store, 0)
    assert [s.id for s in living_sessions(store)] == [first.id, second.id]
    first.close()
    assert [s.id for s in living_sessions(store)] == [second.id]
    second.close()


def test_what_a_session_is_attached_to_is_known_while_it_lives(store, tmp_path):
    session = open_session(store, 123)
    session.announce("http://localhost:8787", "secret")
    session.attach([("consumer", "q", "worker", {"max_batch_size": 5}), ("producer", "q", "worker", {"binding": "Q"})])
    session.attach([("consumer", "q2", "worker", {}), ("producer", "q", "worker", {"binding": "Q"})])
    found = [(a.session_id, a.role, a.queue, a.worker, a.detail) for a in attachments(store)]
    assert found == [
        (session.id, "consumer", "q2", "worker", {}),
        (session.id, "producer", "q", "worker", {"binding": "Q"}),
    ]
    (info,) = living_sessions(store)
    assert (info.url, info.token, info.started_ms) == ("http://localhost:8787", "secret", 123)
    session._lock.close()
    assert attachments(store) == []
    open_session(store, 0).close()
    assert store.query("SELECT * FROM attachment") == []


def test_a_session_that_cannot_say_goodbye_still_lets_go(tmp_path):
    """The disk is full, the file locked for ever: the next start takes back what this one held."""
    store = open_store(tmp_path)
    session = open_session(store, 0)
    store.close()
    with pytest.raises(StateError, match="closed"):
        session.close()
    store = open_store(tmp_path)
    assert living_sessions(store) == []
    store.close()


def test_a_sessions_folder_that_cannot_be_made(store, tmp_path):
    (tmp_path / "sessions").write_text("")
    with pytest.raises(StateError, match="cannot be written: File exists"):
        open_session(store, 0)
