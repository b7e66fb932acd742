"""Which state folder a command means, and how to look into it without leaving a trace."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from wrangler_py.cli.folder_changes import FolderChanges
from wrangler_py.cli.output import CommandError, warning
from wrangler_py.config.find import find_config
from wrangler_py.config.load import load_session
from wrangler_py.config.model import ConfigError, WorkerConfig
from wrangler_py.config.problems import headline, shown_path
from wrangler_py.dev.options import state_folder
from wrangler_py.store.database import BUSY_TIMEOUT_MS, FILE_NAME, StateError, Store, explain_error, open_store
from wrangler_py.store.schema import VERSION


class Project(Struct, frozen=True):
    """What a command works on."""

    #: The state folder; it need not exist.
    folder: Path
    #: The project's own config file, whether it can be read or not.
    config_file: Path | None
    #: Its environment, from `--env` or CLOUDFLARE_ENV.
    environment: str | None
    #: The Workers of the config; none when there is no config, or a broken one.
    workers: tuple[WorkerConfig, ...]


def find_project(
    configs: Sequence[Path] | None,
    env: str | None,
    persist_to: Path | None,
    *,
    cwd: Path | None = None,
    quiet: bool = False,
) -> Project:
    """The project that `wpy dev` would run here. A missing or broken config is told on standard error (not if `quiet`),
    no more: the state can be looked at without it. Raises CommandError for a `-c` file that does not exist."""
    cwd = cwd or Path.cwd()
    paths = [cwd / path for path in configs or ()]
    for path in paths:
        if not path.is_file():
            raise CommandError(f"The config file {shown_path(path, cwd)} does not exist.")
    found = find_config(cwd)
    if not paths and found is not None:
        paths = [found]
    # As in `wpy dev`, where the folder of a config is taken without following links.
    roots = [Path(os.path.abspath(path)).parent for path in paths] or [cwd]  # noqa: PTH100
    folder = state_folder(persist_to, cwd, roots)
    environment = (env if env is not None else os.environ.get("CLOUDFLARE_ENV")) or None
    workers: tuple[WorkerConfig, ...] = ()
    if paths:
        try:
            workers = load_session(paths, cwd=cwd, env=env).workers
        except ConfigError as problem:
            if not quiet:
                _tell_broken(problem, cwd, folder)
    elif persist_to is None and not quiet:
        warning(f"No config found in {cwd} or above it; using the state in {folder}.")
    return Project(folder, paths[0] if paths else None, environment, workers)


def _tell_broken(problem: ConfigError, cwd: Path, folder: Path) -> None:
    errors = [p for p in problem.problems if p.severity == "error"]
    more = f" (and {len(errors) - 1} more; `wpy dev` shows them all)" if len(errors) > 1 else ""
    warning(
        f"The config cannot be used, so what it says of queues is left out; using the state in {folder}.\n"
        f"  {headline(errors, cwd)}{more}"
    )


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[Store | None]:
    """One moment of the state: whatever is read inside belongs together, while others go on writing. None when there
    is no state yet. Creates nothing, and needs no right to write. Raises StateError."""
    store = _open_to_read(folder)
    if store is None:
        yield None
        return
    try:
        yield store
    except sqlite3.Error as error:
        raise StateError(explain_error(error, store.path)) from error
    finally:
        store.close()


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[Store]:
    """The state, created when it is missing. Raises StateError."""
    store = open_store(folder)
    try:
        yield store
    except sqlite3.Error as error:
        raise StateError(explain_error(error, store.path)) from error
    finally:
        store.close()


class Follower:
    """The state as it goes on, for those who watch it. It may come into being later, and be replaced."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE_NAME
        self._store: Store | None = None
        self._seen: tuple[int, int] | None = None  # which file it is
        self._version = 0
        self._changes = FolderChanges(folder)

    def look(self) -> Store | None:
        """The state at this moment; None while there is none. Another object than before: it is another state. Raises
        StateError."""
        if self._store is not None and self._file() != self._seen:
            self.close()
        if self._store is None:
            self._seen = self._file()
            self._store = _open_to_read(self._folder, one_moment=False)
        if self._store is not None:
            self._version = self._data_version(self._store)
        return self._store

    def wait(self) -> None:
        """Return when the state may have changed since `look`."""
        while True:
            self._changes.wait()
            if self._file() != self._seen or (self._store is None and self._seen is not None):
                return
            if self._store is not None and self._data_version(self._store) != self._version:
                return

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _data_version(self, store: Store) -> int:
        # Costs a few microseconds: SQLite compares two numbers in shared memory, and reads no page.
        try:
            return int(store.query("PRAGMA data_version")[0][0])
        except sqlite3.Error as error:
            raise StateError(explain_error(error, store.path)) from error

    def _file(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino


def _open_to_read(folder: Path, *, one_moment: bool = True) -> Store | None:
    path = folder / FILE_NAME
    try:
        if not path.exists():
            if folder.exists() and not folder.is_dir():
                raise StateError(f"{folder} is a file. State lives in a folder: choose one with --persist-to FOLDER.")
            return None
        with path.open("rb"):
            pass  # for the system's own words: SQLite would call it "unable to open"
    except OSError as error:
        raise StateError(
            f"{path} cannot be read: {error.strerror}. Make it readable, or choose another folder with --persist-to FOLDER."
        ) from error
    try:
        connection = _connect(path, "mode=rw", one_moment=one_moment)
    except sqlite3.OperationalError as error:
        # In a folder that cannot be written SQLite cannot keep its books about readers. Without a log there is nobody
        # to keep them for.
        if os.access(folder, os.W_OK) or _has_log(path):
            raise StateError(explain_error(error, path)) from error
        try:
            connection = _connect(path, "immutable=1", one_moment=one_moment)
        except sqlite3.Error as again:
            raise StateError(explain_error(again, path)) from again
    except sqlite3.Error as error:
        raise StateError(explain_error(error, path)) from error
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version == VERSION:
        return Store(path, connection)
    connection.close()
    if version == 0:  # another process is about to create it
        return None
    return open_store(folder)  # brings an older format up to date, refuses a newer one


def _connect(path: Path, mode: str, *, one_moment: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000
    )
    try:
        connection.execute("PRAGMA query_only = ON")
        if one_moment:
            connection.execute("BEGIN")
        connection.execute("PRAGMA user_version").fetchone()  # the first read fixes the moment
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _has_log(path: Path) -> bool:
    log = path.with_name(path.name + "-wal")
    return log.exists() and log.stat().st_size > 0
