"""Other processes on a state folder: real ones, told what to do line by line, so that no test waits by the clock."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# What a child process can be told. It answers every line with one of its own.
CHILD = """
import asyncio, os, sqlite3, sys
from pathlib import Path
from wrangler_py.clock import VirtualClock
from wrangler_py.events.log import EventLog
from wrangler_py.queues.broker import Broker
from wrangler_py.queues.message import OutgoingMessage
from wrangler_py.store.database import StateError, open_store
from wrangler_py.store.sessions import open_session

folder = Path(sys.argv[1])
clock = VirtualClock(1_000_000)

def lock():
    global other
    other = sqlite3.connect(folder / "wpy.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

def unlock():
    other.execute("ROLLBACK")

def start():
    global store, session, broker
    try:
        store = open_store(folder)
    except StateError as error:
        return f"refused: {error}"
    session = open_session(store, 0)
    broker = Broker(store, clock, EventLog(clock), session.id)
    return f"{session.id} {session.recovered}"

def open_and_close(name):
    try:
        open_store(folder / name).close()
    except StateError as error:
        return f"refused: {error}"
    return "opened"

def send(*bodies):
    async def run():
        return await broker.send("q", [OutgoingMessage(b.encode(), "text") for b in bodies], batch=True)
    return asyncio.run(run()).backlog_count

def claim(count):
    async def run():
        return (await broker.claim("q", int(count)))[0]
    return " ".join(f"{m.body.decode()}:{m.attempts}" for m in asyncio.run(run()))

def close():
    session.close()
    store.close()

print("ready", flush=True)
for line in sys.stdin:
    command, *arguments = line.split()
    print(globals()[command](*arguments), flush=True)
"""


class Child:
    """A process of its own that has wpy's store."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.answer() == "ready"

    @property
    def pid(self) -> int:
        return self.process.pid

    def tell(self, *words: str) -> None:
        """Give an order without waiting for its end."""
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()

    def do(self, *words: str) -> str:
        """Give an order and wait for its answer."""
        self.tell(*words)
        return self.answer()

    def answer(self) -> str:
        """The answer to an order that was given by `tell`."""
        line = self.process.stdout.readline()
        assert line, "the child process has ended; its standard error says why"
        return line.rstrip("\n")

    def kill(self) -> None:
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def children(folder: Path, count: int = 1) -> Iterator[list[Child]]:
    started = [Child(folder) for _ in range(count)]
    try:
        yield started
    finally:
        for child in started:
            child.end()


@contextlib.contextmanager
def no_file_may_grow() -> Iterator[None]:
    """The operating system refuses every write to a file of this process, as a failing disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def as_nobody(work) -> str:
    """Run `work()` without root's rights, in a process of its own. Returns what it returned, or "" when it failed."""
    if os.geteuid() != 0:
        return work()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # no test of this process may go on here, whatever happens
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(write, work().encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text
