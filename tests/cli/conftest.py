"""`wpy` as a person runs it: a process in a project's folder, its output, its exit code."""

import ctypes
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import warm_wpy

from wrangler_py.store.database import Store, open_store

#: A config without a single problem; what a test is about stands behind it.
HEAD = (
    'name = "app"\nmain = "src/entry.py"\ncompatibility_date = "2026-01-01"\ncompatibility_flags = ["python_workers"]\n'
)
HEAD_JSON = {
    "name": "app",
    "main": "src/entry.py",
    "compatibility_date": "2026-01-01",
    "compatibility_flags": ["python_workers"],
}
#: What would change the output or the project from outside.
_FOREIGN = ("NO_COLOR", "FORCE_COLOR", "CLOUDFLARE_ENV", "COLUMNS", "PYTHONIOENCODING", "PYTHONUTF8")


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Project:
    """A folder to run commands in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / ".wpy" / "state"

    def write(self, name: str, content: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        return path

    def toml(self, body: str = "", name: str = "wrangler.toml") -> Path:
        self.write("src/entry.py", "")
        return self.write(name, HEAD + body)

    def json(self, more: Mapping[str, Any] | None = None, name: str = "wrangler.jsonc") -> Path:
        self.write("src/entry.py", "")
        return self.write(name, json.dumps({**HEAD_JSON, **(more or {})}))

    def wpy(
        self,
        *arguments: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        before: Callable[[], None] | None = None,
        stdin: bytes | str | None = None,
    ) -> Done:
        done = warm_wpy.run(
            self.command(*arguments),
            cwd=cwd or self.root,
            env=self.environment(env),
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=60,
            preexec_fn=before,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in err, err
        return Done(done.returncode, out, err)

    @staticmethod
    def command(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "wrangler_py", *arguments]

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """A command that goes on. The test ends it."""
        return warm_wpy.Popen(
            self.command(*arguments),
            cwd=self.root,
            env=self.environment(),
            stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )

    def on_a_terminal(self, *arguments: str, typed: str = "", env: Mapping[str, str] | None = None) -> tuple[int, str]:
        """A command as a person runs it: its exit code, and what the terminal shows, without colours."""
        pty = pytest.importorskip("pty")
        ours, theirs = pty.openpty()
        kept = {name: value for name, value in self.environment().items() if name != "CI"}
        kept |= {"TERM": "xterm", "COLUMNS": "200", **(env or {})}
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        process = warm_wpy.Popen(self.command(*arguments), cwd=self.root, env=kept, **streams)
        os.close(theirs)
        os.write(ours, typed.encode())
        shown = b""
        with process:
            try:
                while part := os.read(ours, 65536):
                    shown += part
            except OSError:  # how Linux says that the other side has gone
                pass
        os.close(ours)
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
        return process.returncode, plain.replace("\r\n", "\n")

    def queues(self, *arguments: str, **options: Any) -> Done:
        return self.wpy("queues", *arguments, **options)

    @staticmethod
    def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
        """This process's environment without what would change the output, and with `more`."""
        kept = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
        return {**kept, **(more or {})}

    def peek(self, queue: str, *arguments: str) -> list[dict[str, Any]]:
        """The messages of a queue."""
        return self.queues("peek", queue, "--json", *arguments).json

    def bodies(self, queue: str) -> list[Any]:
        """The bodies of the messages of a queue, in the order of delivery."""
        return [message["body"] for message in self.peek(queue, "-n", "1000")]

    def files(self) -> list[str]:
        """Everything there is in the project's folder."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file())

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The project's state, opened by the test itself."""
        store = open_store(self.state)
        try:
            yield store
        finally:
            store.close()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "project"
    root.mkdir()
    return Project(root)


def without_root_rights() -> None:
    """For `before`: file modes count for the process that follows, even when the tests run as root."""
    if sys.platform == "linux" and os.geteuid() == 0:
        drop, override, read_search = 24, 1, 2  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (override, read_search):
            if libc.prctl(drop, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "the rights of root cannot be dropped")


@pytest.fixture
def modes_count() -> Callable[[], None]:
    """`without_root_rights`, or a skipped test where it cannot work."""
    if sys.platform == "win32":
        pytest.skip("file modes of Windows are others")
    probe = subprocess.run(
        [sys.executable, "-c", ""], preexec_fn=without_root_rights, stderr=subprocess.DEVNULL, check=False
    )
    assert probe.returncode == 0
    return without_root_rights
