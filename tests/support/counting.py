"""What the counting worker of tests/dev/conftest.py has handled."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def wait_until(condition: Callable[[], bool], within: float = 30.0) -> None:
    """Wait for something that happens in another process."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)


def handled(folder: Path) -> list[tuple[int, int]]:
    """(number, attempts) of every message that the counting worker has handled, in order."""
    log = folder / "handled.log"
    if not log.exists():
        return []
    rows = [line.split() for line in log.read_text().splitlines()]
    return [(int(row[1]), int(row[2])) for row in rows if row[0] == "message" and len(row) == 3]
