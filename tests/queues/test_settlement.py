"""The retry rule as a function: what becomes of a message, for every combination of calls and ways to end."""

from itertools import product

import pytest

from wrangler_py.queues.message import BatchOutcome, Message, Retry
from wrangler_py.queues.settlement import clamp_delay, settle

ID = "0" * 32

# Which calls were made (a: message.ack, r: message.retry, A: ackAll, R: retryAll), what becomes of the message when the
# handler returned, when it failed, and when the session's end cut it off.
TABLE = """
    calls   returned  failed  canceled
    -       ack       retry   release
    a       ack       ack     ack
    r       retry     retry   retry
    A       ack       ack     ack
    R       retry     retry   retry
    ar      ack       ack     ack
    aA      ack       ack     ack
    aR      ack       ack     ack
    rA      retry     retry   retry
    rR      retry     retry   retry
    AR      ack       ack     ack
    arA     ack       ack     ack
    arR     ack       ack     ack
    aAR     ack       ack     ack
    rAR     retry     retry   retry
    arAR    ack       ack     ack
"""
ROWS = [line.split() for line in TABLE.strip().splitlines()[1:]]
FAILURES = ("exception", "exceededWallTime", "exceededCpu", "exceededMemory", "scriptNotFound", "internalError")


def message(attempts=1):
    return Message(1, ID, 0, attempts, "json", b"{}")


def outcome_of(calls, outcome="ok", own=None, batch=None):
    return BatchOutcome(
        outcome,
        ack_all="A" in calls,
        retry_all=Retry(batch) if "R" in calls else None,
        explicit_acks={ID} if "a" in calls else set(),
        retries={ID: Retry(own)} if "r" in calls else {},
    )


def one(outcome, *, attempts=1, max_retries=3, retry_delay=0, dead_letter_queue=None):
    (settlement,) = settle(
        [message(attempts)],
        outcome,
        max_retries=max_retries,
        retry_delay=retry_delay,
        dead_letter_queue=dead_letter_queue,
    )
    return settlement


def test_the_table_names_every_combination_of_calls():
    combinations = {
        "".join(c for c, on in zip("arAR", bits, strict=True) if on) or "-" for bits in product((0, 1), repeat=4)
    }
    assert {row[0] for row in ROWS} == combinations


@pytest.mark.parametrize(("calls", "returned", "failed", "canceled"), ROWS, ids=[row[0] for row in ROWS])
def test_every_combination_of_calls_and_endings(calls, returned, failed, canceled):
    assert one(outcome_of(calls)).action == returned
    for failure in FAILURES:
        assert one(outcome_of(calls, failure)).action == failed
    assert one(outcome_of(calls, "canceled")).action == canceled


@pytest.mark.parametrize(("calls", "returned", "failed", "canceled"), ROWS, ids=[row[0] for row in ROWS])
@pytest.mark.parametrize(("dead_letter_queue", "exhausted"), [("dead", "dead_letter"), (None, "drop")])
def test_a_retry_too_many_is_dead_lettered_or_dropped(calls, returned, failed, canceled, dead_letter_queue, exhausted):
    last = {"attempts": 4, "max_retries": 3, "dead_letter_queue": dead_letter_queue}
    assert one(outcome_of(calls), **last).action == (exhausted if returned == "retry" else returned)
    assert one(outcome_of(calls, "exception"), **last).action == (exhausted if failed == "retry" else failed)
    # The end of a session is nobody's failure: nothing is dropped or dead-lettered for it.
    assert one(outcome_of(calls, "canceled"), **last).action == canceled


@pytest.mark.parametrize("max_retries", [0, 1, 3, 100])
def test_max_retries_counts_redeliveries(max_retries):
    for attempt in range(1, max_retries + 1):
        assert one(outcome_of("", "exception"), attempts=attempt, max_retries=max_retries).action == "retry"
    assert one(outcome_of("", "exception"), attempts=max_retries + 1, max_retries=max_retries).action == "drop"


@pytest.mark.parametrize(
    ("calls", "own", "batch", "expected"),
    [
        ("r", 2, None, 2),
        ("r", 0, None, 0),
        ("r", None, None, 7),
        ("rR", 2, 4, 2),
        ("rR", 0, 4, 0),
        ("rR", None, 4, 4),
        ("rR", None, 0, 0),
        ("rR", None, None, 7),
        ("R", None, 4, 4),
        ("R", None, 0, 0),
        ("R", None, None, 7),
        ("rA", 2, None, 2),
    ],
)
@pytest.mark.parametrize("ending", ["ok", "exception", "canceled"])
def test_the_delay_is_the_messages_else_the_batchs_else_the_consumers(calls, own, batch, expected, ending):
    assert one(outcome_of(calls, ending, own, batch), retry_delay=7).delay_seconds == expected


def test_a_failed_batch_waits_for_the_consumers_delay():
    assert one(outcome_of("", "exception"), retry_delay=7).delay_seconds == 7
    assert one(outcome_of("", "exception"), retry_delay=0).delay_seconds == 0


@pytest.mark.parametrize(
    ("asked", "given"), [(-5, 0), (0, 0), (86_400, 86_400), (86_401, 86_400), (2**31 - 1, 86_400), (-(2**31), 0)]
)
def test_a_delay_that_production_refuses_becomes_the_nearest_one_and_is_told(asked, given):
    assert clamp_delay(asked) == given
    settlement = one(outcome_of("r", own=asked))
    assert settlement.delay_seconds == given
    assert settlement.asked_seconds == (None if asked == given else asked)


def test_the_reason_and_its_place_are_noted():
    outcome = outcome_of("r")
    outcome.calls = {ID: ("retry", "src/entry.py:12")}
    assert (one(outcome).reason, one(outcome).where) == ("retry()", "src/entry.py:12")
    outcome = outcome_of("A")
    outcome.calls = {"*": ("ackAll", "src/entry.py:9")}
    assert (one(outcome).reason, one(outcome).where) == ("ackAll()", "src/entry.py:9")
    assert [one(outcome_of(calls)).reason for calls in ("a", "R", "")] == ["ack()", "retryAll()", "handler returned"]
    assert one(outcome_of("", "exceededWallTime")).reason == "exceededWallTime"


def test_ids_that_are_not_in_the_batch_change_nothing():
    outcome = BatchOutcome(explicit_acks={"f" * 32}, retries={"e" * 32: Retry(5)})
    assert one(outcome).action == "ack"
