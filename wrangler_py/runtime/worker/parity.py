"""What works in CPython and would not on Cloudflare, said while the code is loaded or when it happens.

Found by reading the user's own files (what runs while they are imported) and by watching two calls: a thread that is started,
a file that is opened.
"""

from __future__ import annotations

import ast
import builtins
import io
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from typing import Any

from . import logs, outcome, texts

#: Files larger than this are not read through (bytes).
_MAX_SOURCE = 512 * 1024
#: Functions of the standard library that need entropy. Cloudflare has none while a module is imported
#: (workerd, src/pyodide/internal/topLevelEntropy).
_ENTROPY = {
    "random": None,  # any function of it
    "secrets": None,
    "os": {"urandom", "getrandom"},
    "uuid": {"uuid1", "uuid4"},
}
#: Functions of `random` that need none.
_HARMLESS = {"seed", "Random", "setstate"}
#: What wrangler bundles of a Python Worker beside its modules, unless `rules` say otherwise.
BUNDLED = ("*.py", "*.txt", "*.html", "*.sql", "*.bin", "*.wasm")

_said: set[tuple[str, int]] = set()


def module_level_warnings(files: Iterable[str]) -> list[str]:
    """What the user's files do while they are imported that Cloudflare refuses."""
    found = []
    for file in files:
        try:
            if os.path.getsize(file) > _MAX_SOURCE:  # noqa: PTH202
                continue
            with _open(file, "rb") as source:
                tree = ast.parse(source.read())
        except (OSError, SyntaxError, ValueError):
            continue
        names = _imported(tree)
        for call in _calls_at_import(tree):
            what = _needs_entropy(call.func, names)
            if what is not None:
                where = f"{outcome.shown(file)}:{call.lineno}"
                found.append(texts.ENTROPY_AT_IMPORT.format(where=where, what=what))
    return found


def _imported(tree: ast.Module) -> dict[str, str]:
    """Name in the module -> dotted name of what it stands for."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _calls_at_import(tree: ast.Module) -> Iterator[ast.Call]:
    """Calls that run while the module is imported: not those inside of functions, nor under `if __name__ == "__main__"`."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            arguments = node.args
            waiting += [default for default in (*arguments.defaults, *arguments.kw_defaults) if default is not None]
            waiting += getattr(node, "decorator_list", [])
            continue
        if isinstance(node, ast.If) and "__name__" in ast.dump(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Call):
            yield node
        waiting += list(ast.iter_child_nodes(node))


def _needs_entropy(function: ast.expr, names: dict[str, str]) -> str | None:
    parts: list[str] = []
    while isinstance(function, ast.Attribute):
        parts.insert(0, function.attr)
        function = function.value
    if not isinstance(function, ast.Name) or function.id not in names:
        return None
    module, _, called = ".".join([names[function.id], *parts]).partition(".")
    if module not in _ENTROPY or not called or "." in called:
        return None
    wanted = _ENTROPY[module]
    if (wanted is None and called not in _HARMLESS) or (wanted is not None and called in wanted):
        return f"{module}.{called}()"
    return None


def emscripten_note(error: BaseException, vendored: str) -> str | None:
    """Why an import failed, when it is a package in python_modules that is compiled for Pyodide."""
    if not isinstance(error, ImportError):
        return None
    wanted = [(error.name or "").partition(".")[0]]
    wanted += [part.partition(".")[0] for part in (error.path or "").removeprefix(vendored).split(os.sep) if part][:1]  # noqa: PTH206
    trace = error.__traceback__
    while trace is not None:
        filename = trace.tb_frame.f_code.co_filename
        if filename.startswith(vendored + os.sep):
            wanted.append(filename.removeprefix(vendored + os.sep).partition(os.sep)[0])
        trace = trace.tb_next
    for name in filter(None, wanted):
        for folder, _, files in os.walk(os.path.join(vendored, name)):  # noqa: PTH118
            if any(("emscripten" in file or "wasm32" in file) and file.endswith(".so") for file in files):
                del folder
                return texts.EMSCRIPTEN.format(package=name, python=sys.executable)
    return None


# --- what is watched ------------------------------------------------------------------------------------------------------

_open = open
_start = threading.Thread.start
_bundled: tuple[str, ...] = BUNDLED
_root = ""


def watch(root: str, bundled: Iterable[str]) -> None:
    """Say once for each line of the user's own that starts a thread, or reads a file of the project that is not bundled."""
    global _bundled, _root
    _bundled = (*BUNDLED, *bundled)
    _root = os.path.join(root, "")  # noqa: PTH118
    threading.Thread.start = _thread_started  # type: ignore[method-assign]
    builtins.open = io.open = _opened


def _thread_started(self: threading.Thread) -> None:
    where = _users_line(("threading.py", "thread.py", "threads.py", "base_events.py", "parity.py"))
    if where is not None and where not in _said:
        _said.add(where)
        logs.emit("warn", texts.THREAD.format(where=f"{outcome.shown(where[0])}:{where[1]}"))
    _start(self)


def _opened(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
    if isinstance(file, str | os.PathLike) and "r" in mode and "+" not in mode:
        path = os.path.abspath(os.fspath(file))  # noqa: PTH100
        if isinstance(path, str) and path.startswith(_root) and not _is_bundled(path):
            where = _users_line(("pathlib.py", "parity.py", "_local.py"))
            if where is not None and where not in _said:
                _said.add(where)
                logs.emit(
                    "warn",
                    texts.NOT_BUNDLED.format(
                        where=f"{outcome.shown(where[0])}:{where[1]}", file=path.removeprefix(_root)
                    ),
                )
    return _open(file, mode, *args, **options)


def _is_bundled(path: str) -> bool:
    name = path.removeprefix(_root)
    return name.startswith("python_modules" + os.sep) or any(
        fnmatch(name, pattern.removeprefix("**/")) or fnmatch(os.path.basename(name), pattern.removeprefix("**/"))  # noqa: PTH119
        for pattern in _bundled
    )


def _users_line(between: tuple[str, ...]) -> tuple[str, int] | None:
    """The line that called, if it is the user's own; files named in `between` may stand in between."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        filename = frame.f_code.co_filename
        if outcome.is_users(filename):
            return filename, frame.f_lineno
        if os.path.basename(filename) not in between:  # noqa: PTH119
            return None
        frame = frame.f_back
    return None
