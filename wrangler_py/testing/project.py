"""The project that a test belongs to: its config, and its modules as the tests import them."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wrangler_py.config.model import SessionConfig
    from wrangler_py.runtime.inprocess.modules import Snapshot, UserModules

#: What `from workers import ...` needs, and what it brings along.
_SHIMMED = frozenset(("workers", "js", "pyodide", "_pyodide_entrypoint_helper", "_cloudflare_compat_flags"))

_active: Project | None = None
_shims: tuple[Any, Any] | None = None


class _ShimFinder(importlib.abc.MetaPathFinder):
    """Puts the stand-ins for `js` and `pyodide` in place when one of them, or the SDK, is imported for the first time."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] in _SHIMMED:
            sys.meta_path.remove(self)
            shims()
            if name in sys.modules:  # the stand-in itself was asked for
                return importlib.machinery.ModuleSpec(name, _Present(sys.modules[name]))
        return None


class _Present(importlib.abc.Loader):
    """Gives a module that is there already."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Any:
        self._spec, self._loader = getattr(self._module, "__spec__", None), getattr(self._module, "__loader__", None)
        return self._module

    def exec_module(self, module: Any) -> None:
        module.__spec__, module.__loader__ = self._spec, self._loader


def watch_imports() -> None:
    """Have `from workers import Response` work from now on. Costs nothing until somebody does."""
    if _shims is None and not any(isinstance(finder, _ShimFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _ShimFinder())


def shims() -> tuple[Any, Any]:
    """Install what stands in for Cloudflare's runtime in this process; the helper and flags modules of the SDK."""
    global _shims
    if _shims is None:
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _ShimFinder)]
        from wrangler_py.runtime.inprocess.hub import current_process
        from wrangler_py.runtime.inprocess.process import LogRouter
        from wrangler_py.runtime.worker import logs
        from wrangler_py.runtime.worker.shims import install, private

        class SharedHelper(private.EntrypointHelper):
            """`workers.env` is that of the worker whose code asks, and of the first worker for the test itself."""

            @property
            def env(self) -> Any:
                process = current_process.get()
                return vars(self)["_envs"].get(getattr(process, "name", None)) or vars(self)["_env"]

            @env.setter
            def env(self, env: Any) -> None:
                own = vars(self)
                process = current_process.get()
                if process is not None:
                    own.setdefault("_envs", {})[process.name] = env
                if process is None or own.get("_primary") in (None, process.name):
                    own["_env"] = env

            def forget(self, primary: str) -> None:
                """No worker is loaded; the first one will be `primary`."""
                own = vars(self)
                own["_envs"], own["_primary"] = {}, primary

        helper, flags = install.install()
        vars(helper)["_envs"] = {}
        vars(helper)["_primary"] = None
        vars(helper)["_env"] = vars(helper).pop("env")
        helper.__class__ = SharedHelper
        logs._connection = LogRouter()  # type: ignore[assignment]
        _shims = helper, flags
        importlib.import_module("workers")
    return _shims


class Project:
    """One project with a config. `enter` makes its modules the ones that `import` finds."""

    def __init__(self, configs: Sequence[Path], root: Path) -> None:
        self.configs = tuple(configs)
        self.root = root
        self._sessions: dict[Any, SessionConfig] = {}
        self._modules: UserModules | None = None
        self._snapshot: Snapshot | None = None

    def config(self, env: str | None = None, script: Path | None = None) -> SessionConfig:
        """The config, read once for each environment. Raises ConfigError."""
        key = (env, script)
        if key not in self._sessions:
            from wrangler_py.session.config import read_session

            self._sessions[key] = read_session(self.configs, cwd=self.root, env=env, script=script)
        return self._sessions[key]

    @property
    def modules(self) -> UserModules:
        if self._modules is None:
            from wrangler_py.runtime.inprocess.modules import UserModules

            folders: list[Path] = []
            for worker in self.config().workers:
                if worker.main.parent not in folders:
                    folders.append(worker.main.parent)
            self._modules = UserModules(folders)
        return self._modules

    def enter(self) -> None:
        """Let `import` find this project's modules, by their stems, as under `wpy dev`."""
        global _active
        if _active is not self:
            if _active is not None:
                _active.modules.leave()
            _active = self
        self.modules.enter()

    def prepare(self) -> None:
        """Import the workers' code, if that has not been done, and remember its globals. Raises what the code raises."""
        self.enter()
        if self._snapshot is None:
            shims()
            for worker in self.config().workers:
                if worker.language == "python":
                    self.modules.load({"root": str(worker.root), "main": str(worker.main)})
            self._snapshot = self.modules.remember()

    def put_back(self) -> None:
        """The globals of the workers' modules, as they were before the test."""
        if self._snapshot is not None:
            self._snapshot.put_back()


_projects: dict[tuple[Path, ...], Project] = {}
_by_folder: dict[Path, Project | None] = {}


def project_of(folder: Path, top: Path, configured: Sequence[str]) -> Project | None:
    """The project that a test in `folder` belongs to: the one that pytest's settings name (relative to `top`), else
    that of the nearest config in the folder or above it, up to `top`. None: there is none."""
    if configured:
        return _project(tuple((top / name).resolve() for name in configured), top)
    if folder not in _by_folder:
        _by_folder[folder] = _search(folder, top)
    return _by_folder[folder]


def _search(folder: Path, top: Path) -> Project | None:
    names = ("wrangler.json", "wrangler.jsonc", "wrangler.toml")
    for place in (folder, *folder.parents):
        for name in names:
            if (place / name).is_file():
                return _project((place / name,), place)
        if place == top:
            break
    return None


def _project(configs: tuple[Path, ...], root: Path) -> Project:
    if configs not in _projects:
        _projects[configs] = Project(configs, root)
    return _projects[configs]
