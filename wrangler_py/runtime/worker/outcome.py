"""What became of an event, and how an exception is told: from the user's frame on, without the machinery in between."""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep  # noqa: PTH100, PTH120
_STDLIB = tuple(
    {os.path.realpath(path) + os.sep for name in ("stdlib", "platstdlib") if (path := sysconfig.get_path(name))}
    | {path + os.sep for name in ("stdlib", "platstdlib") if (path := sysconfig.get_path(name))}
)
_ASYNCIO = f"{os.sep}asyncio{os.sep}"
#: Folders in a project that hold other people's code.
_VENDORED = ("site-packages", "dist-packages", "python_modules", "node_modules")

#: The flag enhanced_error_serialization: errors keep their name, whatever it is, on the way to another Worker.
keeps_error_names = False

_root = ""
#: The folders whose files are the user's: the project's, and main's where that lies elsewhere.
_roots: tuple[str, ...] = ()
_user_files: dict[str, bool] = {}
#: Lines of the user's that called something, as they are shown.
_sites: dict[tuple[str, str, int], tuple[str, str | None]] = {}


def configure(root: str, main_folder: str) -> None:
    """Set the project's folder and that of its main module: what lies there, and in no folder of packages, is the
    user's own code."""
    global _root, _roots
    _root = os.path.join(root, "")  # noqa: PTH118
    _roots = (_root, os.path.join(main_folder, ""))  # noqa: PTH118
    _user_files.clear()
    _sites.clear()


def in_project(name: str) -> str:
    """The path of a file in the project's folder."""
    return _root + name


def is_users(filename: str) -> bool:
    """Whether a file is part of the user's own project."""
    known = _user_files.get(filename)
    if known is None:
        folder = next((root for root in _roots if filename.startswith(root)), None)
        known = _user_files[filename] = (
            folder is not None
            and not filename.startswith(_HERE)
            and not any(part in _VENDORED for part in filename[len(folder) :].split(os.sep))  # noqa: PTH206
        )
    return known


def is_machinery(filename: str) -> bool:
    """Whether a frame of this file says nothing to a user: this package, workers-runtime-sdk, asyncio, the importer."""
    return filename.startswith((_HERE, "<frozen ", _sdk_folder())) or (
        filename.startswith(_STDLIB) and (_ASYNCIO in filename or filename.endswith("contextlib.py"))
    )


def _sdk_folder() -> str:
    paths = getattr(sys.modules.get("workers"), "__path__", None)
    return os.path.join(paths[0], "") if paths else "\0"  # noqa: PTH118


def shown(filename: str) -> str:
    """A file as the user knows it: relative to the project when it is in there."""
    return filename[len(_root) :] if _root and filename.startswith(_root) else filename


def called(call: str) -> tuple[str, str | None]:
    """(call, the innermost caller that is the user's own code: "src/entry.py:12"). Costs less than a microsecond; the same
    for every call of a line, so that a frame holds it once."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        filename = frame.f_code.co_filename
        if is_users(filename):
            line = (call, filename, frame.f_lineno)
            site = _sites.get(line)
            if site is None:
                site = _sites[line] = (call, f"{shown(filename)}:{line[2]}")
            return site
        frame = frame.f_back
    return call, None


def format_exception(error: BaseException) -> str:
    """The traceback as Python prints it, notes and causes included, beginning at the user's frame."""
    if _is_runtimes(error):
        return f"{error}\n"
    report = traceback.TracebackException.from_exception(error, compact=True)
    for part in _parts(report):
        _trim(part)
    lines = "".join(report.format())
    return lines


def last_line(error: BaseException) -> str:
    """The line of a traceback that names the exception: "ValueError: boom"."""
    if _is_runtimes(error):
        return str(error)
    lines = traceback.format_exception_only(type(error), error)
    notes = len("".join(f"{note}\n" for note in getattr(error, "__notes__", ()) or ()).splitlines())
    text = "".join(lines).rstrip("\n").split("\n")
    if isinstance(error, SyntaxError):
        text = [line for line in text if line.startswith(type(error).__name__)] or text
    elif notes:
        text = text[:-notes] or text
    return "\n".join(text).strip()


def _is_runtimes(error: BaseException) -> bool:
    """Whether it is an error that Cloudflare's runtime itself raises, of which no Python was told."""
    kind = type(error)
    return kind.__module__ == "pyodide.ffi" and not has_user_frame(error.__traceback__)


def _parts(report: Any) -> Iterator[Any]:
    waiting, seen = [report], set()
    while waiting:
        part = waiting.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        waiting += [part.__cause__, part.__context__, *(part.exceptions or ())]


def _trim(report: Any) -> None:
    """Drop the machinery's frames, and everything before the user's first frame when there is one."""
    stack = report.stack
    kept = [frame for frame in stack if not is_machinery(frame.filename)]
    first = next((index for index, frame in enumerate(kept) if is_users(frame.filename)), 0)
    stack[:] = kept[first:]
    if not kept:
        report.stack = None  # or "Traceback (most recent call last):" would stand over nothing


def has_user_frame(trace: TracebackType | None) -> bool:
    """Whether an exception passed through the user's own code."""
    while trace is not None:
        if is_users(trace.tb_frame.f_code.co_filename):
            return True
        trace = trace.tb_next
    return False


def files_of(error: BaseException | None) -> set[str]:
    """The user's own files that an exception passed through, or whose text it complains of."""
    files: set[str] = set()
    trace = None if error is None else error.__traceback__
    while trace is not None:
        files.add(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename:
        files.add(error.filename)
    return {name for name in files if is_users(name)}


def exception_result(error: BaseException) -> dict[str, Any]:
    """The two fields that RESULT has in common for an event that failed."""
    return {"outcome": "exception", "error": last_line(error)}
