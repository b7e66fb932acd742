"""What `wpy kv`, `wpy d1` and `wpy r2` share: which resource is meant, its clock, and its errors told.

The commands work on the state folder itself, whether or not a session runs on it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from wrangler_py.cli.output import CommandError, errors_told, printable

if TYPE_CHECKING:
    from wrangler_py.cli.state import Project
    from wrangler_py.clock import Clock


def make_folder(project: Project) -> None:
    """The state folder, which git does not look into. Raises OSError."""
    from wrangler_py.store.database import keep_out_of_git

    project.folder.mkdir(parents=True, exist_ok=True)
    keep_out_of_git(project.folder)


def clock_of(project: Project) -> Clock:
    """The clock of a session that runs on the state, else the wall clock. Raises StateError."""
    from wrangler_py.cli.queues_access import session_clock
    from wrangler_py.cli.state import reading

    with reading(project.folder) as store:
        return session_clock(store, None)


@contextlib.contextmanager
def told(path: Path | None = None) -> Iterator[None]:
    """Errors as messages for the user. `path`: what could not be used when a file or a database fails."""
    with errors_told():
        try:
            yield
        except (sqlite3.Error, OSError) as problem:
            raise CommandError(_unusable(path, problem)) from problem
        except Exception as problem:
            if type(problem).__module__ == "apsw":
                raise CommandError(_unusable(path, problem)) from problem
            raise


def _unusable(path: Path | None, problem: Exception) -> str:
    reason = (problem.strerror if isinstance(problem, OSError) else None) or str(problem)
    where = getattr(problem, "filename", None) or path
    return f"{where} cannot be used: {reason}" if where else reason


def names(items: Iterable[str]) -> str:
    """Names for a sentence: "A, B" or "none"."""
    return ", ".join(printable(item) for item in dict.fromkeys(items)) or "none"


def there_are(items: Iterable[str], new: str) -> str:
    """The names that the config has; where it has none, `new`: what to add for one."""
    listed = names(items)
    return f"There are: {listed}." if listed != "none" else f"The config has none. To have one, add {new}."


def read_file(path: Path, what: str) -> bytes:
    """The content of a file that the user named. Raises CommandError."""
    try:
        return path.read_bytes()
    except OSError as problem:
        raise CommandError(f'Unable to read {what} "{path}": {problem.strerror}.') from problem
