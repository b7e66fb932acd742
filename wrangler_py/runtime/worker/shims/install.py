"""Put the stand-ins into sys.modules, before anything imports `workers`."""

from __future__ import annotations

import importlib
import sys

from .js import convert
from .js.globals import make_module
from .private import CompatFlags, EntrypointHelper

_PYODIDE = __name__.rpartition(".")[0] + ".pyodide"

#: The first compatibility date that runs Pyodide 314 (workers-py, metadata of Python versions).
_DATE_314 = "2026-09-08"


def install() -> tuple[EntrypointHelper, CompatFlags]:
    """Install `js`, `pyodide`, `_pyodide_entrypoint_helper` and `_cloudflare_compat_flags`.

    A `pyodide-py` of the user's environment, a package without function that `workers-py` depends on, stays unused.
    """
    sys.modules["js"] = make_module()
    package = sys.modules["pyodide"] = importlib.import_module(_PYODIDE)
    for name in ("ffi", "http", "webloop", "code"):
        module = sys.modules[f"pyodide.{name}"] = importlib.import_module(f"{_PYODIDE}.{name}")
        setattr(package, name, module)
    helper, flags = EntrypointHelper(), CompatFlags()
    sys.modules["_pyodide_entrypoint_helper"] = helper
    sys.modules["_cloudflare_compat_flags"] = flags
    return helper, flags


def configure(flags: CompatFlags, set_flags: dict[str, bool], date: str | None) -> None:
    """Follow the Pyodide of a worker's compatibility date, where versions differ."""
    flags.flags = set_flags
    newest = set_flags.get("python_workers_314", (date or "") >= _DATE_314)
    convert.dicts_become_objects = newest
    sys.modules["pyodide"].__version__ = "314.0.7" if newest else "0.28.2"  # type: ignore[attr-defined]
