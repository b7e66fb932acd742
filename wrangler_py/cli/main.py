"""The `wpy` command: which parser reads a command line.

Exit codes of every command: 0 done, 1 refused or failed, 2 a command line that cannot be understood.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wrangler_py.runtime.python.spawn import SpawnedProcess


def run(arguments: list[str], first: SpawnedProcess | None = None) -> None:
    """Run the command line `arguments`. Ends the process with the command's exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # where ✘ cannot be shown it is \u2718, not a traceback
            stream.reconfigure(errors="backslashreplace")
    context: dict[str, Any] = {"first": first}
    try:
        if arguments[:1] == ["dev"]:
            from wrangler_py.cli.dev import dev

            dev(arguments[1:], prog_name="wpy dev", obj=context)
        else:
            from wrangler_py.cli.groups import app

            app(arguments, prog_name="wpy")
    finally:
        process = context.pop("first", None)
        if process is not None:  # the command ended before it took the process over
            process.abandon()
