"""Drives a real worker process over a socketpair, with nothing but the frames that the server speaks."""

from __future__ import annotations

import itertools
import json
import marshal
import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from wrangler_py.runtime.worker import frames as f

MAIN = Path(f.__file__).with_name("__main__.py")
#: How long any frame may take (seconds). Generous: it ends a test that hangs, it measures nothing.
PATIENCE = 20


class WorkerProcess:
    """One worker's process, from HELLO on.

    `next(...)` gives the next frame that fits; frames that were passed over stay in `seen`. LOG frames are collected in
    `logs` as (event, level, line).
    """

    def __init__(
        self, root: Path, python: str | None = None, env: dict[str, str] | None = None, target: str | None = None
    ) -> None:
        self.root = root
        ours, theirs = socket.socketpair()
        self.sock = ours
        self.sock.settimeout(PATIENCE)
        environ = {**os.environ, "TZ": "UTC", **(env or {})}
        environ.pop("PYTHONPATH", None)
        if python is None and (python := os.environ.get("WPY_TEST_PYTHON")):
            environ["WPY_SDK"] = sdk_folder()
        self.stderr = (root / "worker-stderr.txt").open("w+b")
        self.process = subprocess.Popen(
            [python or sys.executable, "-B", "-X", "utf8", str(MAIN), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=environ,
            cwd=root,
            stdin=subprocess.DEVNULL,
            stderr=self.stderr,
        )
        theirs.close()
        self._decoder = f.Decoder()
        self._queue: list[tuple[Any, ...]] = []
        self.seen: list[tuple[Any, ...]] = []
        self.logs: list[tuple[int, str, str]] = []
        self._events = itertools.count(1)
        self.hello = self.next(f.HELLO)[1]
        self.info: dict[str, Any] = {}

    # --- frames ------------------------------------------------------------------------------------------------

    def send(self, *frame: Any) -> None:
        self.sock.sendall(f.encode(*frame))

    def _frames(self) -> Iterator[tuple[Any, ...]]:
        while True:
            while self._queue:
                frame = self._queue.pop(0)
                if frame[0] == f.FATAL:
                    raise EOFError(f"the worker ended by itself: {frame[1]}")
                if frame[0] == f.LOG:
                    self.logs += [(frame[1], frame[2], line) for line in frame[3].split("\n")]
                yield frame
            data = self.sock.recv(1 << 20)
            if not data:
                raise EOFError(f"the worker ended with code {self.process.wait(PATIENCE)}: {self.c_stderr()}")
            self._queue += self._decoder.feed(data)

    def next(self, kind: int, event: int | None = None, where: Callable[[tuple[Any, ...]], bool] | None = None) -> Any:
        """The next frame of a kind, for an event if one is given."""
        for index, frame in enumerate(self.seen if hasattr(self, "seen") else []):
            if self._fits(frame, kind, event, where):
                return self.seen.pop(index)
        for frame in self._frames():
            if self._fits(frame, kind, event, where):
                return frame
            if frame[0] != f.LOG:
                self.seen.append(frame)

    @staticmethod
    def _fits(frame: Any, kind: int, event: int | None, where: Any) -> bool:
        return frame[0] == kind and (event is None or frame[1] == event) and (where is None or where(frame))

    # --- a worker ----------------------------------------------------------------------------------------------

    def load(self, main: str = "src/entry.py", **spec: Any) -> dict[str, Any]:
        """LOAD, which has to succeed."""
        self.send_load(main, **spec)
        answer = self.next_of(f.LOADED, f.LOAD_FAILED)
        assert answer[0] == f.LOADED, answer[1]
        self.info = answer[1]
        return self.info

    def load_failure(self, main: str = "src/entry.py", **spec: Any) -> str:
        """LOAD, which has to fail; the text it fails with."""
        self.send_load(main, **spec)
        answer = self.next_of(f.LOADED, f.LOAD_FAILED)
        assert answer[0] == f.LOAD_FAILED, answer
        return answer[1]

    def send_load(self, main: str, **spec: Any) -> None:
        flags = {"python_no_global_handlers": True, "queues_json_messages": True}
        flags["python_request_headers_preserve_commas"] = True
        self.send(
            f.LOAD,
            {
                "main": str(self.root / main),
                "root": str(self.root),
                "name": "test",
                "compatibility_date": "2026-04-01",
                "compatibility_flags": [],
                "vars": {},
                "secrets": {},
                "bindings": {},
                **spec,
                "flags": {**flags, **spec.get("flags", {})},
            },
        )

    def next_of(self, *kinds: int) -> Any:
        for frame in self._frames():
            if frame[0] in kinds:
                return frame
            if frame[0] != f.LOG:
                self.seen.append(frame)

    def start_fetch(
        self,
        url: str = "http://localhost/",
        method: str = "GET",
        body: bytes | None = None,
        headers: Any = (),
        more: bool = False,
        cf: Any = None,
    ) -> int:
        event = next(self._events)
        self.send(f.FETCH, event, method, url, list(headers), body, more, marshal.dumps(cf) if cf else b"")
        return event

    def finish_fetch(self, event: int) -> Fetched:
        """Everything up to the end of the event."""
        response = self.next_of_event(event, f.RESPONSE, f.DONE)
        if response[0] == f.DONE:
            return Fetched(0, [], b"", response[2])
        _, _, status, headers, body, more = response
        chunks = [body]
        while more:
            _, _, chunk, more, *_ = self.next(f.CHUNK, event)
            chunks.append(chunk)
        return Fetched(status, headers, b"".join(chunks), self.next(f.DONE, event)[2], [c for c in chunks if c])

    def next_of_event(self, event: int, *kinds: int) -> Any:
        for index, frame in enumerate(self.seen):
            if frame[0] in kinds and frame[1] == event:
                return self.seen.pop(index)
        for frame in self._frames():
            if frame[0] in kinds and frame[1] == event:
                return frame
            if frame[0] != f.LOG:
                self.seen.append(frame)

    def fetch(self, *args: Any, **options: Any) -> Fetched:
        return self.finish_fetch(self.start_fetch(*args, **options))

    def start_queue(self, *messages: Any, queue: str = "jobs", metrics: Any = (0, 0, None)) -> int:
        """A batch; messages are bodies (sent as JSON) or whole tuples (id, timestamp_ms, attempts, type, bytes)."""
        listed = [
            message
            if isinstance(message, tuple)
            else (f"m{number}", 1_700_000_000_000 + number, 1, "json", json.dumps(message).encode())
            for number, message in enumerate(messages)
        ]
        event = next(self._events)
        self.send(f.QUEUE, event, queue, listed, metrics)
        return event

    def queue(self, *messages: Any, **options: Any) -> dict[str, Any]:
        """A batch, to its end; RESULT."""
        return self.next(f.DONE, self.start_queue(*messages, **options))[2]

    def start_scheduled(self, cron: str = "* * * * *", time_ms: int = 1_700_000_000_000) -> int:
        event = next(self._events)
        self.send(f.SCHEDULED, event, cron, time_ms)
        return event

    def scheduled(self, *args: Any) -> dict[str, Any]:
        return self.next(f.DONE, self.start_scheduled(*args))[2]

    def lines(self, event: int | None = None, level: str | None = None) -> list[str]:
        """Lines logged so far."""
        return [line for e, lev, line in self.logs if event in (None, e) and level in (None, lev)]

    def log_text(self, event: int | None = None, level: str | None = None) -> str:
        return "\n".join(self.lines(event, level))

    def c_stderr(self) -> str:
        self.stderr.flush()
        return Path(self.stderr.name).read_text(errors="replace")

    def wait(self) -> int:
        """The exit code, once it has ended."""
        return self.process.wait(PATIENCE)

    def close(self) -> int:
        """Go away, as a server that ends; the worker's exit code."""
        self.sock.close()
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.stderr.close()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        if error is not None:
            print("logs:", *self.logs, sep="\n  ")
            print("stderr:", self.c_stderr())
        self.close()


class Fetched:
    """The answer to a FETCH, and the RESULT of its event."""

    def __init__(
        self, status: int, headers: list[tuple[str, str]], body: bytes, result: dict[str, Any], chunks: Any = ()
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.result = result
        self.chunks = list(chunks)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


def project(root: Path, source: str, main: str = "src/entry.py", **files: str) -> Path:
    """Write a worker's main module (and other files, `__` in their names standing for `/`)."""
    path = root / main
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source))
    for name, text in files.items():
        other = root / name.replace("__", "/")
        other.parent.mkdir(parents=True, exist_ok=True)
        other.write_text(textwrap.dedent(text))
    return root


def sdk_folder() -> str:
    """Where this environment keeps `workers`, found without importing it (it needs `js`)."""
    spec = find_spec("workers")
    assert spec is not None and spec.origin is not None
    return str(Path(spec.origin).parent.parent)


def wait_for(condition: Callable[[], bool]) -> None:
    """Until a condition of another process holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.01)
