"""Hypothesis strategies for messages and batches. Needs hypothesis (`pip install "wrangler_py[testing]"`).

from wrangler_py.testing import strategies as st

@given(batch=st.batches("mail", body=st.bodies()))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_message_is_settled(wpy, batch):
    wpy.run(wpy.reset())  # each example begins anew
    result = wpy.run(wpy.worker.queue(batch))
    assert result.outcome == "ok"
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as hypothesis
from hypothesis.strategies import SearchStrategy

from wrangler_py.queues.limits import MAX_DELAY_SECONDS
from wrangler_py.testing.batches import TestBatch, TestMessage, make_batch

#: The attempts of a message that are tried: with the default of 3 retries the last one is the fourth.
_MAX_ATTEMPTS = 4
#: A year of moments around the test's usual one (ms).
_FROM_MS, _UNTIL_MS = 1_751_328_000_000, 1_782_864_000_000
#: Integers that JavaScript's numbers hold exactly.
_SAFE = 2**53 - 1


def bodies(*, max_leaves: int = 10) -> SearchStrategy[Any]:
    """Values that JSON carries, as a producer may send them."""
    leaves = (
        hypothesis.none()
        | hypothesis.booleans()
        | hypothesis.integers(-_SAFE, _SAFE)
        | hypothesis.floats(allow_nan=False, allow_infinity=False)
        | hypothesis.text(hypothesis.characters(exclude_categories=["Cs"]))
    )
    text = hypothesis.text(hypothesis.characters(exclude_categories=["Cs"]), max_size=20)
    return hypothesis.recursive(
        leaves,
        lambda inner: hypothesis.lists(inner, max_size=5) | hypothesis.dictionaries(text, inner, max_size=5),
        max_leaves=max_leaves,
    )


def delays() -> SearchStrategy[int]:
    """Delays that a producer may ask for (seconds)."""
    return hypothesis.integers(0, MAX_DELAY_SECONDS)


@hypothesis.composite
def messages(draw: Any, body: SearchStrategy[Any] | None = None, max_attempts: int = _MAX_ATTEMPTS) -> TestMessage:
    """Messages with such bodies, of any attempt, in the content type that fits the body."""
    value = draw(bodies() if body is None else body)
    kinds = ["json", "v8"] if not isinstance(value, bytes) else ["bytes"]
    if isinstance(value, str):
        kinds.append("text")
    return TestMessage(
        value,
        attempts=draw(hypothesis.integers(1, max_attempts)),
        timestamp_ms=draw(hypothesis.integers(_FROM_MS, _UNTIL_MS)),
        content_type=draw(hypothesis.sampled_from(kinds)),
    )


@hypothesis.composite
def batches(
    draw: Any,
    queue: str,
    body: SearchStrategy[Any] | None = None,
    *,
    min_size: int = 1,
    max_size: int = 10,
    max_attempts: int = _MAX_ATTEMPTS,
) -> TestBatch:
    """Batches of a queue, for `worker.queue`."""
    some = hypothesis.lists(messages(body, max_attempts), min_size=min_size, max_size=max_size)
    return make_batch(queue, draw(some))
