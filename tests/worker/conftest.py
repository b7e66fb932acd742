"""Fixtures: worker processes in projects of their own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

# pytest imports tests by path (importlib mode), so a helper beside them has to be made importable.
sys.path.append(str(Path(__file__).parent))

from worker_process import WorkerProcess, project


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    """`worker(source, **spec)`: a process that has loaded `source` as src/entry.py."""
    with ExitStack() as stack:

        def start(
            source: str, *, files: dict[str, str] | None = None, process: dict[str, Any] | None = None, **spec: Any
        ) -> WorkerProcess:
            root = project(tmp_path, source, **(files or {}))
            started = stack.enter_context(WorkerProcess(root, **(process or {})))
            started.load(**spec)
            return started

        yield start


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    """`bare(source)`: a process that has loaded nothing yet, in the project of `source`."""
    with ExitStack() as stack:

        def start(source: str = "", *, files: dict[str, str] | None = None, **process: Any) -> WorkerProcess:
            return stack.enter_context(WorkerProcess(project(tmp_path, source, **(files or {})), **process))

        yield start
