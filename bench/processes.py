"""A process and everything below it: started in a session of its own, counted, and surely ended."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

_LINUX = sys.platform == "linux"
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a process tree in MiB. `pss` counts a shared page once for the tree; None where it is not to be had."""

    rss: float
    pss: float | None
    processes: int


class Started:
    """A command that runs, with its output in a file; with `terminal`, on a terminal of its own."""

    def __init__(
        self, command: list[str], folder: Path, environment: dict[str, str], log: Path, *, terminal: bool = False
    ) -> None:
        self.command = command
        self.log = log
        #: Every process of the tree that was seen, with its moment of birth: its number may be given anew.
        self._known: dict[int, str | None] = {}
        self._terminal: int | None = None
        log.touch()
        self.at = time.perf_counter()
        if terminal:
            self._on_terminal(folder, environment)
        else:
            with log.open("ab") as output:
                self.popen = subprocess.Popen(
                    command,
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        _alive.append(self)

    def _on_terminal(self, folder: Path, environment: dict[str, str]) -> None:
        import fcntl
        import pty
        import termios

        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
        try:
            self.popen = subprocess.Popen(
                self.command,
                cwd=folder,
                env=environment | {"TERM": "xterm-256color"},
                stdin=slave,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            )
        finally:
            os.close(slave)
        self._terminal = master
        threading.Thread(target=self._read_terminal, args=(master,), daemon=True).start()

    def _read_terminal(self, master: int) -> None:
        with self.log.open("ab", buffering=0) as output:
            try:
                while data := os.read(master, 65536):
                    output.write(data)
            except OSError:  # the other end was closed: nobody is left on the terminal
                pass
            finally:
                os.close(master)

    @property
    def running(self) -> bool:
        return self.popen.poll() is None

    def tail(self, lines: int = 15) -> str:
        """The end of what was printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def tree(self) -> list[int]:
        """The process and its descendants."""
        found = [self.popen.pid]
        parents = _parents()
        for pid in found:
            found.extend(child for child, parent in parents.items() if parent == pid)
        for pid in found:
            self._known.setdefault(pid, _born(pid))
        return found

    def interrupt(self) -> None:
        """Ctrl-C: the key on its terminal, or, without one, SIGINT to the group."""
        self.tree()
        if self._terminal is not None:
            os.write(self._terminal, b"\x03")
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGINT)

    def kill_first(self) -> None:
        """`kill -9` of the process that was started, and of it alone."""
        self.tree()
        self.popen.kill()
        self.popen.wait()

    def survivors(self) -> list[int]:
        """The descendants, as far as they were ever seen by `tree`, that still run."""
        return [pid for pid, born in self._known.items() if exists(pid) and _born(pid) == born]

    def kill(self) -> None:
        """End the whole tree at once, and return when it is gone. May be called twice."""
        if self.running:
            self.tree()
        while alive := self.survivors():
            for pid in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.002)  # it dies a little after it was told to
            self.popen.poll()
        self.popen.wait()
        if self in _alive:
            _alive.remove(self)


_alive: list[Started] = []


def kill_everything() -> None:
    """End all that was started and is not ended yet. For the end of the harness, however it comes."""
    for started in list(_alive):
        started.kill()


def exists(pid: int) -> bool:
    """Whether a process of that number runs; one that has ended and waits for its parent does not."""
    if _LINUX:
        stat = _stat(pid)
        return stat is not None and stat[0] != "Z"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def memory(pids: list[int]) -> Memory:
    """What the processes hold together."""
    if not _LINUX:
        table = subprocess.run(["ps", "-o", "rss=", "-p", ",".join(map(str, pids))], capture_output=True, text=True)
        sizes = [int(line) for line in table.stdout.split()]
        return Memory(sum(sizes) / 1024, None, len(sizes))
    rss = pss = count = 0
    for pid in pids:
        try:
            rollup = (_PROC / str(pid) / "smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        kib = {line.split(":")[0]: int(line.split()[1]) for line in rollup.splitlines()[1:]}
        rss += kib["Rss"]
        pss += kib["Pss"]
        count += 1
    return Memory(rss / 1024, pss / 1024, count)


def cpu_seconds(pids: list[int]) -> float:
    """CPU time that the living threads of the processes have used (seconds, to the nanosecond on Linux)."""
    if not _LINUX:
        table = subprocess.run(["ps", "-o", "time=", "-p", ",".join(map(str, pids))], capture_output=True, text=True)
        return sum(_clock_seconds(text) for text in table.stdout.split())
    total = 0
    for pid in pids:
        for file in (_PROC / str(pid) / "task").glob("*/schedstat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                total += int(file.read_text().split()[0])
    return total / 1e9


def _clock_seconds(text: str) -> float:
    """ "1:02.50" as `ps` prints CPU time."""
    seconds = 0.0
    for part in text.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def _born(pid: int) -> str | None:
    """When a process began, in a form to compare with; None where that is not to be had."""
    stat = _stat(pid) if _LINUX else None
    return stat[19] if stat is not None else None


def _parents() -> dict[int, int]:
    """The parent of every process."""
    if not _LINUX:
        table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True).stdout
        return {int(pid): int(parent) for pid, parent in (line.split() for line in table.splitlines())}
    parents: dict[int, int] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))) is not None:
            parents[int(entry.name)] = int(stat[1])
    return parents
