"""LOAD: sys.path, the SDK, the user's module."""

from __future__ import annotations

import importlib
import importlib.util
import os
import site
import sys
import sysconfig
from functools import lru_cache
from types import ModuleType
from typing import Any

from . import outcome, texts

_PACKAGE = __name__.partition(".")[0]
#: Modules that a warm spare has anyway.
_OWN = frozenset(
    (_PACKAGE, "__main__", "_cloudflare_compat_flags", "_pyodide_entrypoint_helper", "asgi", "js", "pyodide", "workers")
)


#: The project's python_modules, when there is one.
_vendored = ""


class LoadFailure(Exception):
    """The worker cannot be loaded, for a reason that is no exception of the user's code. The text says what to do."""


def import_sdk() -> str | None:
    """Import `workers`: the interpreter's own, else the one in the folder that WPY_SDK names. Its version, if there is one.

    Raises ImportError.
    """
    try:
        module = importlib.import_module("workers")
    except ModuleNotFoundError as error:
        folder = os.environ.get("WPY_SDK")
        if error.name != "workers" or not folder:
            raise
        module = _import_package("workers", os.path.join(folder, "workers"))  # noqa: PTH118
    return sdk_version(module)


def _import_package(name: str, folder: str) -> ModuleType:
    """Import a package from a folder that is not on sys.path."""
    spec = importlib.util.spec_from_file_location(
        name,
        os.path.join(folder, "__init__.py"),  # noqa: PTH118
        submodule_search_locations=[folder],
    )
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def sdk_version(module: ModuleType) -> str | None:
    """The version of the SDK that `module` belongs to, read from its dist-info; "unknown" where there is none."""
    paths = getattr(module, "__path__", None)
    if not paths or not hasattr(module, "WorkerEntrypoint"):
        return None
    try:
        names = os.listdir(os.path.dirname(paths[0]))  # noqa: PTH120, PTH208
    except OSError:
        names = []
    prefix, suffix = "workers_runtime_sdk-", ".dist-info"
    return next(
        (name[len(prefix) : -len(suffix)] for name in names if name.startswith(prefix) and name.endswith(suffix)),
        "unknown",
    )


def load(spec: dict[str, Any]) -> ModuleType:
    """Import the user's main module. Raises LoadFailure, or whatever the module raises."""
    root, main = os.path.abspath(spec["root"]), os.path.abspath(spec["main"])  # noqa: PTH100
    outcome.configure(root, os.path.dirname(main))  # noqa: PTH120
    os.chdir(root)
    folder, name = os.path.split(main)
    vendored = os.path.join(root, "python_modules")  # noqa: PTH118
    global _vendored
    _vendored = vendored if os.path.isdir(vendored) else ""  # noqa: PTH112
    _use_vendored_sdk(vendored)
    _set_path(folder, vendored)
    from . import parity

    parity.watch(root, spec.get("bundled") or ())
    if not os.path.isfile(main):  # noqa: PTH113
        raise LoadFailure(f"The entry point {outcome.shown(main)} does not exist")
    return _import_main(name.removesuffix(".py"), main)


def _use_vendored_sdk(vendored: str) -> None:
    """A copy in python_modules wins, as in production; everything else in there comes last (it is built for emscripten)."""
    folder = os.path.join(vendored, "workers")  # noqa: PTH118
    if os.path.isfile(os.path.join(folder, "__init__.py")):  # noqa: PTH113, PTH118
        for name in [name for name in sys.modules if name == "workers" or name.startswith("workers.")]:
            del sys.modules[name]
        _import_package("workers", folder)
    module = sys.modules.get("workers")
    if module is None:
        raise LoadFailure(texts.NO_SDK.format(python=sys.executable, folder="python_modules"))
    if not hasattr(module, "WorkerEntrypoint"):
        raise LoadFailure(texts.WRONG_SDK.format(file=getattr(module, "__file__", None)))


def _set_path(folder: str, vendored: str) -> None:
    others = [entry for entry in sys.path if entry and os.path.realpath(entry) not in (folder, vendored)]
    sys.path[:] = [folder, *others]
    if os.path.isdir(vendored):  # noqa: PTH112
        sys.path.append(vendored)


def explain_import(error: BaseException) -> None:
    """Add a note to an ImportError whose reason is known: `src.` before the name, a package that is not installed, one in
    python_modules that is compiled for Pyodide."""
    if not isinstance(error, ImportError):
        return
    note = None
    if _vendored:
        from . import parity

        note = parity.emscripten_note(error, _vendored)
    if note is None and isinstance(error, ModuleNotFoundError):
        note = _missing_note(error.name or "")
    if note is not None and note not in getattr(error, "__notes__", ()):
        error.add_note(note)


def _missing_note(name: str) -> str | None:
    if name.partition(".")[0] == "src":
        return texts.SRC_PREFIX
    if not name or "." in name or name in sys.stdlib_module_names or name in _OWN:
        return None
    listed = os.path.isfile(outcome.in_project("requirements.txt"))  # noqa: PTH113
    also = "" if not listed else " (or `-m pip install -r requirements.txt`)"
    return texts.NOT_INSTALLED.format(name=name, python=sys.executable, also=also)


def _import_main(name: str, main: str) -> ModuleType:
    """Import the file itself under its stem, whatever else may have that name (`queue.py` is a likely one)."""
    spec = importlib.util.spec_from_file_location(name, main)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        if before is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = before
        explain_import(error)
        raise
    return sys.modules.get(name, module)


def describe(
    before: dict[str, ModuleType], main: str | None = None, error: BaseException | None = None
) -> dict[str, Any]:
    """LOADED's "modules" and "files": what was imported since `before`, other people's and the user's own.

    What a preload list brought counts as well, or the list after it would lack it. After a failure also the files that it names, which are no modules any more.
    """
    modules, files = [], set[str]()
    for name, module in list(sys.modules.items()):
        if before.get(name) is module or name.partition(".")[0] in _OWN:
            continue
        filename = getattr(module, "__file__", None)
        if not isinstance(filename, str):
            continue
        if outcome.is_users(filename):
            files.add(filename)
        elif filename.startswith(_library_folders()):
            modules.append(name)
    described: dict[str, Any] = {"modules": modules, "files": sorted(files)}
    if main is not None:
        described["files"] = sorted({*files, *outcome.files_of(error), os.path.abspath(main)})  # noqa: PTH100
    else:
        from . import parity

        described["parity"] = parity.module_level_warnings(described["files"])
    return described


@lru_cache(1)
def _library_folders() -> tuple[str, ...]:
    """Where an interpreter finds modules by itself, so that a spare can preload them without the project's sys.path."""
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders.update(site.getsitepackages())
    return tuple(os.path.join(folder, "") for folder in folders if folder)  # noqa: PTH118
