"""What `wpy dev` was asked for on the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct, field

LogLevel = Literal["debug", "info", "log", "warn", "error", "none"]

DEFAULT_PORT = 8787
#: Where `--inspect` listens.
DEBUG_PORT = 5678
#: Where state lives, beside the first config file.
STATE_FOLDER = Path(".wpy") / "state"


class DevOptions(Struct, frozen=True):
    """The options of one session."""

    cwd: Path
    script: Path | None = None
    configs: tuple[Path, ...] = ()
    env: str | None = None
    #: None: 8787, or the next free port. 0: any free port.
    port: int | None = None
    #: None: the config's `dev.ip`, else 127.0.0.1.
    ip: str | None = None
    persist_to: Path | None = None
    vars: Mapping[str, str] = field(default_factory=dict)
    log_level: LogLevel = "log"
    crons: bool = True
    reload: bool = True
    #: None: hot keys when standard input and output are a terminal.
    interactive: bool | None = None
    #: The clock stands still from the start, until it is moved.
    virtual_clock: bool = False
    #: What the clock shows at the start (ms since the epoch); None: the wall clock's time.
    start_ms: int | None = None
    #: The workers' own clocks and sleeps follow the session's.
    worker_clock: bool = False
    #: Queues as in `wrangler dev`: miniflare's defaults, limit of a sendBatch, and `delivery_delay` of producers.
    compat_miniflare: bool = False
    #: How long a handler of a batch or a cron may run (seconds); None: as long as in production.
    wall_limit_s: float | None = None
    #: Crons that were missed while the machine slept are fired afterwards.
    cron_catch_up: bool = False
    #: What the REST API asks of other machines; None: it refuses them.
    api_token: str | None = None
    #: Where Chrome DevTools may connect to the JavaScript Workers; None: nowhere.
    inspector_port: int | None = None
    #: Whether the dashboard, its API and the figures for Prometheus are served; and whether they can change something.
    dashboard: bool = True
    readonly: bool = False
    #: What the event record may take on disk (MB); 0: nothing is recorded.
    record_mb: int = 256
    #: Where a Python debugger may attach to this process and to its workers' (it listens already); None: nowhere.
    inspect_port: int | None = None


def state_folder(persist_to: Path | None, cwd: Path, roots: Sequence[Path]) -> Path:
    """Where a session's state lives: `--persist-to` (relative to the current folder), else beside its config.

    With several configs it is the nearest folder that holds them all, so that their order does not matter.
    """
    if persist_to is not None:
        return (cwd / persist_to).resolve()
    return Path(os.path.commonpath(roots)) / STATE_FOLDER
