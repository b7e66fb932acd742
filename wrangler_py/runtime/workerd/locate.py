"""Finding the two binaries that run JavaScript Workers, `workerd` and `esbuild`, as npm and pnpm leave them.

A project that has `wrangler` in its `node_modules` has both. Looked for in this order:

1. `WPY_WORKERD` / `WPY_ESBUILD`, else the names that Cloudflare's and esbuild's own packages read
   (`MINIFLARE_WORKERD_PATH`, `ESBUILD_BINARY_PATH`)
2. every `node_modules` from the project's folder upwards: the package of this platform, also inside the packages that
   depend on it, and in pnpm's store
3. `PATH`

`node_modules/.bin/workerd` may be a Node.js script that finds the real one, so a file counts by its first bytes.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path

from msgspec import Struct

#: The oldest workerd that wpy runs, by the date in its version: older ones have no structured logs.
FLOOR = date(2025, 9, 1)
#: A binary accepts compatibility dates up to this many days after its own (seen with 1.20260426.1 and 1.20261117.1);
#: those of 2025 accept none (seen with 1.20250902.0).
_DATES_AHEAD = 7
_AHEAD_SINCE = date(2026, 1, 1)
_VERSION_TIMEOUT_S = 20

INSTALL = "npm install --save-dev workerd esbuild"


class BinaryMissing(Exception):
    """A binary cannot be used. The text says why, where it was looked for, and the line that installs it."""


class Binary(Struct, frozen=True):
    """One of the two, ready to be run."""

    path: Path
    version: str


class _Tool(Struct, frozen=True):
    name: str
    variables: tuple[str, ...]
    scope: str  # of its platform packages
    inside: str  # where the binary stands in them
    hosts: tuple[str, ...]  # packages that may have it nested
    prefix: str


_WORKERD = _Tool(
    "workerd",
    ("WPY_WORKERD", "MINIFLARE_WORKERD_PATH"),
    "@cloudflare",
    "bin/workerd",
    ("workerd", "miniflare", "wrangler"),
    "workerd-",
)
_ESBUILD = _Tool(
    "esbuild",
    ("WPY_ESBUILD", "ESBUILD_BINARY_PATH"),
    "@esbuild",
    "bin/esbuild",
    ("esbuild", "wrangler", "vite"),
    "",
)


def find_workerd(project: Path, environ: Mapping[str, str] | None = None) -> Binary:
    """Raises BinaryMissing."""
    workerd = _find(_WORKERD, project, os.environ if environ is None else environ)
    built = build_date(workerd)
    if built is not None and built < FLOOR:
        raise BinaryMissing(
            f"{workerd.path} is workerd {workerd.version}, and wpy needs one of {FLOOR} or later. Update it in the project:"
            f"\n\n    {INSTALL}"
        )
    return workerd


def find_esbuild(project: Path, environ: Mapping[str, str] | None = None) -> Binary:
    """Raises BinaryMissing."""
    return _find(_ESBUILD, project, os.environ if environ is None else environ)


def _find(tool: _Tool, project: Path, environ: Mapping[str, str]) -> Binary:
    for variable in tool.variables:
        if environ.get(variable):
            path = Path(environ[variable]).expanduser()
            problem = "there is no such file" if not path.is_file() else _unusable(path)
            if problem:
                raise BinaryMissing(f"{variable} names {path}, and {problem}.")
            return _checked(tool, path)
    refused: list[str] = []
    for path in _candidates(tool, project, environ):
        if not path.is_file():
            continue
        problem = _unusable(path)
        if problem is None:
            return _checked(tool, path)
        if problem != _SCRIPT:
            refused.append(f"\n  {path}: {problem}")
    raise BinaryMissing(_missing(tool, project, refused))


def _missing(tool: _Tool, project: Path, refused: list[str]) -> str:
    text = (
        f"JavaScript and TypeScript Workers need `{tool.name}`, and there is none in any node_modules from {project} "
        "upwards, nor on PATH."
    )
    if refused:
        text += "\nFound, but not usable here:" + "".join(refused)
    return (
        f"{text}\nInstall it in the project:\n\n    {INSTALL}\n\n"
        f"(a project with `wrangler` has it after `npm install`), or name it in {tool.variables[0]}."
    )


# Where ----------------------------------------------------------------------------------------------------------------


def _candidates(tool: _Tool, project: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    package = tool.prefix + _platform(tool)
    suffix = ".exe" if sys.platform == "win32" else ""
    inside = tool.inside + suffix
    for folder in (project, *project.parents):
        modules = folder / "node_modules"
        if not modules.is_dir():
            continue
        yield modules / tool.scope / package / inside
        for host in tool.hosts:
            host_folder = modules / host
            yield host_folder / "node_modules" / tool.scope / package / inside
            if host_folder.is_symlink():  # pnpm: the package stands in its store, beside what it depends on
                yield host_folder.resolve().parent / tool.scope / package / inside
        store = modules / ".pnpm"
        if store.is_dir():
            pattern = f"{tool.scope}+{package}@*"
            for entry in sorted(store.glob(pattern), key=lambda e: _numbers(e.name), reverse=True):
                yield entry / "node_modules" / tool.scope / package / inside
        yield modules / tool.name / "bin" / (tool.name + suffix)
        yield modules / ".bin" / (tool.name + suffix)
    found = shutil.which(tool.name, path=environ.get("PATH"))
    if found:
        yield from _behind(tool, Path(found), package, inside)


def _behind(tool: _Tool, found: Path, package: str, inside: str) -> Iterator[Path]:
    """A command on PATH, and when it is npm's script, the binary of the package that the script belongs to."""
    yield found
    real = found.resolve()
    for folder in real.parents:
        if folder.name == "node_modules":
            yield folder / tool.scope / package / inside
            yield folder / tool.name / "node_modules" / tool.scope / package / inside


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text.rpartition("@")[2])]


def _platform(tool: _Tool) -> str:
    """The name of this platform in the names of the packages, which is not the same for the two."""
    machine = platform.machine().lower()
    arm = machine in ("arm64", "aarch64")
    if tool is _WORKERD:
        system = {"darwin": "darwin", "win32": "windows"}.get(sys.platform, "linux")
        return f"{system}-arm64" if arm else f"{system}-64"
    system = {"darwin": "darwin", "win32": "win32"}.get(sys.platform, sys.platform)
    return f"{system}-arm64" if arm else f"{system}-x64"


# Whether it can be used -----------------------------------------------------------------------------------------------

_SCRIPT = "it is a script for Node.js and not the binary itself"
_ELF_MACHINES = {0x3E: "x86-64", 0xB7: "arm64"}
_MACH_O = {0x01000007: "x86-64", 0x0100000C: "arm64"}


def _unusable(path: Path) -> str | None:
    """Why a file cannot be run on this machine, or None."""
    try:
        with path.open("rb") as file:
            head = file.read(32)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    if head.startswith(b"#!") or head.lstrip()[:1] in (b"", b"/", b'"', b"i", b"c", b"v", b"@"):
        return _SCRIPT
    if not os.access(path, os.X_OK):
        return f"it may not be executed; `chmod +x {path}` allows it"
    here = "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86-64"
    if head.startswith(b"\x7fELF"):
        built_for, runs_on = _ELF_MACHINES.get(int.from_bytes(head[18:20], "little"), "another machine"), "linux"
    elif head[:4] in (b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe"):
        built_for, runs_on = _MACH_O.get(int.from_bytes(head[4:8], "little"), here), "darwin"
        if here == "arm64":  # Rosetta runs the others
            built_for = here
    elif head.startswith(b"MZ"):
        built_for, runs_on = here, "win32"
    else:
        return "it is no program"
    if runs_on != sys.platform:
        return f"it is built for {runs_on}, and this is {sys.platform}"
    if built_for != here:
        return f"it is built for {built_for}, and this machine is {here}"
    return None


def _checked(tool: _Tool, path: Path) -> Binary:
    """The binary with its version, as its package states it; one that is in no package is asked."""
    for folder in (path.resolve().parent.parent, path.parent.parent):
        try:
            package = json.loads((folder / "package.json").read_bytes())
        except (OSError, ValueError):
            continue
        if package.get("name") in (tool.name, f"{tool.scope}/{tool.prefix}{_platform(tool)}"):
            return Binary(path, str(package["version"]))
    return Binary(path, _asked(tool, path))


def _asked(tool: _Tool, path: Path) -> str:
    """What the binary says of its version. Raises BinaryMissing when it does not run."""
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it does not answer within {_VERSION_TIMEOUT_S} s"
        if isinstance(error, FileNotFoundError):  # the file is there: what is not is its loader
            reason = "this system has no glibc loader; workerd and esbuild's packages here need glibc (not musl)"
        raise BinaryMissing(f"{tool.name} cannot be started ({path}): {reason}.") from None
    words = done.stdout.split()
    if done.returncode == 0 and words:
        return words[-1]
    problem = (done.stderr or done.stdout).strip()
    explained = explain_libc(tool.name, path, problem)
    raise BinaryMissing(
        explained or f"{tool.name} does not run ({path}): {problem.splitlines()[-1] if problem else 'no output'}"
    )


def explain_libc(name: str, path: Path, problem: str) -> str | None:
    """What to do when the loader refuses a binary because the system's libc is too old."""
    missing = re.search(r"(GLIBC(?:XX)?_[\d.]+)' not found", problem)
    if missing is None:
        return None
    libc, version = platform.libc_ver()
    return (
        f"{name} needs {missing.group(1).replace('_', ' ')}, and this system has {libc or 'libc'} "
        f"{version or 'of an older version'} ({path}). Builds of 2026 need glibc 2.35 (Ubuntu 22.04, Debian 12). On an older "
        "system take an older one, for example: npm install --save-dev workerd@1.20250902.0"
    )


# Compatibility dates --------------------------------------------------------------------------------------------------


def build_date(workerd: Binary) -> date | None:
    """The date in workerd's version ("2026-04-26" or "1.20260426.1")."""
    found = re.search(r"(20\d\d)-?(\d\d)-?(\d\d)", workerd.version)
    if found is None:
        return None
    try:
        return date(*map(int, found.groups()))
    except ValueError:
        return None


def accepted_date(asked: str | None, workerd: Binary, today: date) -> tuple[str, str | None]:
    """The compatibility date to run with, and a warning when it is not the one that was asked for."""
    # None: a config that was read without a day; workerd's oldest behaviour then.
    asked = asked or "2021-11-02"
    built = build_date(workerd)
    newest = today
    if built is not None:
        newest = min(today, built + timedelta(days=_DATES_AHEAD if built >= _AHEAD_SINCE else 0))
    if asked <= newest.isoformat():
        return asked, None
    why = (
        "dates after today are refused" if newest == today else "npm install --save-dev workerd@latest takes newer ones"
    )
    return newest.isoformat(), (
        f"compatibility_date {asked} is newer than workerd {workerd.version} accepts; it runs with {newest} ({why})"
    )
