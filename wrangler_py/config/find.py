"""Which config file a command means when it is not told: wrangler's own search."""

from __future__ import annotations

import os
from pathlib import Path

from wrangler_py.config.model import Problem
from wrangler_py.config.problems import shown_path

#: In wrangler's order. It looks for the first name in the folder and every folder above it before it tries the
#: second, so that a wrangler.json far up beats a wrangler.toml in the folder itself (seen with wrangler 4.86).
NAMES = ("wrangler.json", "wrangler.jsonc", "wrangler.toml")


def find_config(cwd: Path) -> Path | None:
    """The config file for a command run in `cwd`, or None. A name that is a folder or a broken link is passed over.

    With a script on the command line, `cwd` is the script's folder.
    """
    start = Path(os.path.abspath(cwd))  # noqa: PTH100 - links in the folder's path stay as the user sees them
    for name in NAMES:
        for folder in (start, *start.parents):
            if _is_file(folder / name):
                return folder / name
    return None


def passed_over(start: Path, found: Path, cwd: Path) -> list[Problem]:
    """A warning for each config file that a reader would expect to count rather than `found`: one that stands in
    the same folder, or nearer to `start`, where the search began; and for a build tool's redirect, which wpy does
    not follow. Paths are shown as seen from `cwd`."""
    start = Path(os.path.abspath(start))  # noqa: PTH100
    warnings = []
    for folder in (start, *start.parents):
        for name in NAMES:
            other = folder / name
            if other != found and _is_file(other):
                warnings.append(
                    Problem(
                        "warning",
                        f"{shown_path(other, cwd)} is not read: like wrangler, wpy prefers {shown_path(found, cwd)}.",
                        file=found,
                        hint=f"remove one of them, or say which: -c {shown_path(other, cwd)}",
                    )
                )
        if folder == found.parent:
            break
    redirect = found.parent / ".wrangler" / "deploy" / "config.json"
    if _is_file(redirect):
        warnings.append(
            Problem(
                "warning",
                f"{shown_path(redirect, cwd)} redirects wrangler to a generated config; wpy reads the original.",
                file=found,
                hint="give the generated file with -c to run that one",
            )
        )
    return warnings


def not_found(cwd: Path) -> Problem:
    """The error for a session that has neither a config nor a script."""
    there = [(name, Path(cwd) / name) for name in NAMES]
    spoilt = [f"{n} is {'a folder' if p.is_dir() else 'a broken link'}" for n, p in there if os.path.lexists(p)]
    hint = (
        "`wpy init` makes a project here, `wpy dev src/entry.py` starts without a config; or create a wrangler.toml:\n"
        'name = "my-worker"\nmain = "src/entry.py"\ncompatibility_date = "2026-01-01"\n'
        'compatibility_flags = ["python_workers"]'
    )
    return Problem(
        "error",
        f"No wrangler.json, wrangler.jsonc or wrangler.toml was found in {cwd} or any folder above it."
        + (f" ({', '.join(spoilt)}.)" if spoilt else ""),
        hint=hint,
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
