"""Lengths of time as Workflows write them."""

from __future__ import annotations

from typing import Any

import pytest

from wrangler_py.workflows.durations import milliseconds


@pytest.mark.parametrize(
    ("given", "ms"),
    [
        (1500, 1500),
        ("1500", 1500),
        ("1 second", 1000),
        ("90 Seconds", 90_000),
        ("1.5 hours", 5_400_000),
        ("2 weeks", 1_209_600_000),
        ("100 milliseconds", 100),
        ("20 ms", 20),
        ("5 m", None),  # minutes are meant, and the engine of wrangler takes it for milliseconds
        ("5 fortnights", None),
        ("soon", None),
        (-1, None),
        (True, None),
        (float("inf"), None),
        (None, None),
    ],
)
def test_a_length_of_time(given: Any, ms: float | None) -> None:
    assert milliseconds(given) == ms
