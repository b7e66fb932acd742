"""What Cloudflare's runtime changes in packages, as far as it is seen by user code, and what `breakpoint()` does.

Threads cannot start there, so workers-runtime-sdk (`_workers_sdk_package_patches.py`) makes `anyio.to_thread.run_sync` call
the function in place. Frameworks built on anyio run plain route functions through it; called in place they can use
`run_sync` and bindings, as they can on Cloudflare.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def _anyio_to_thread(module: ModuleType) -> None:
    async def run_sync(func: Callable, *args: Any, **_options: Any) -> Any:
        return func(*args)  # the options are about threads

    module.run_sync = run_sync  # type: ignore[attr-defined]


def _pdb(module: ModuleType) -> None:
    def set_trace(*_args: Any, **_options: Any) -> None:
        """`pdb.set_trace()`: the same prompt as `breakpoint()`."""
        if _debugging is not None:
            importlib.import_module(f"{__package__}.debug").stop(sys._getframe(1), *_debugging)

    module.set_trace = set_trace  # type: ignore[attr-defined]


_PATCHES: dict[str, Callable[[ModuleType], None]] = {"anyio.to_thread": _anyio_to_thread, "pdb": _pdb}

#: What debug.py needs: the loop and the connection.
_debugging: tuple[Any, Any] | None = None


def install_breakpoint(hub: Any, connection: Any) -> None:
    """`breakpoint()` asks on the terminal (debug.py, imported when it is first called: it brings pdb)."""
    global _debugging
    _debugging = (hub, connection)

    def breakpointhook(*args: Any, **options: Any) -> Any:
        debug = importlib.import_module(f"{__package__}.debug")
        return debug.breakpoint_at(sys._getframe(1), hub, connection, args, options)

    sys.breakpointhook = breakpointhook


class _Finder:
    """Finds the modules of `_PATCHES` where they are, and patches them once they have run."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        patch = _PATCHES.get(name)
        if patch is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            run = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                run(module)
                patch(module)

            loader.exec_module = exec_module
        return spec


def install() -> None:
    """Patch packages when they are imported."""
    sys.meta_path.insert(0, _Finder)
