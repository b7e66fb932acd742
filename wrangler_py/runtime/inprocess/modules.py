"""The user's modules in a process that has others: found as `wpy dev` finds them, imported once, put back after a test."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from wrangler_py.runtime.inprocess import user_time
from wrangler_py.runtime.worker import loader, outcome

_PLAIN = (dict, list, set)


class UserModules:
    """The modules of the workers of one project.

    A worker's main module is imported under its stem, from the folder that it stands in, which comes first on sys.path.
    Two workers may have modules of the same name (`entry`): each keeps its own, and the first worker's are the ones that
    `import entry` of a test finds.
    """

    def __init__(self, folders: list[Path]) -> None:
        """`folders`: those of the workers' main modules, the primary worker's first."""
        self._folders = [str(folder) for folder in folders]
        self._mains: dict[str, ModuleType] = {}
        #: Modules of workers after the first, by folder; not in sys.modules while nothing of that worker is imported.
        self._others: dict[str, dict[str, ModuleType]] = {}
        #: The first worker's modules while another project's are in force.
        self._away: dict[str, ModuleType] = {}

    # Which are in force -----------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Let `import` find the modules of the first worker."""
        if self._folders and self._folders[0] not in sys.path:
            sys.path.insert(0, self._folders[0])
            sys.modules.update(self._away)
            self._away.clear()

    def leave(self) -> None:
        """Take them away again, to be put back by `enter`."""
        if self._folders and self._folders[0] in sys.path:
            sys.path.remove(self._folders[0])
            self._away = self._own(self._folders[0])
            for name in self._away:
                del sys.modules[name]

    @staticmethod
    def _own(folder: str) -> dict[str, ModuleType]:
        """Modules of the user's that were imported from below a folder."""
        prefix = folder.rstrip("/\\") + "/"
        found = {}
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and file.replace("\\", "/").startswith(prefix.replace("\\", "/")):
                rest = file[len(prefix) :]
                if not any(part in rest.replace("\\", "/").split("/") for part in ("site-packages", "python_modules")):
                    found[name] = module
        return found

    # Loading ----------------------------------------------------------------------------------------------------------

    def load(self, spec: dict[str, Any]) -> ModuleType:
        """LOAD (runtime/worker/frames.py): the main module, imported when it is not there yet.

        Raises loader.LoadFailure, or whatever the module raises.
        """
        root, main = Path(spec["root"]).absolute(), Path(spec["main"]).absolute()
        outcome.configure(str(root), str(main.parent))
        known = self._mains.get(str(main))
        if known is not None:
            return known
        if not main.is_file():
            raise loader.LoadFailure(f"The entry point {outcome.shown(str(main))} does not exist")
        vendored = root / "python_modules"
        if vendored.is_dir() and str(vendored) not in sys.path:
            sys.path.append(str(vendored))
        with self._of(str(main.parent)):
            module = self._mains[str(main)] = self._import(main)
        return module

    @contextlib.contextmanager
    def _of(self, folder: str) -> Iterator[None]:
        if not self._folders or folder == self._folders[0]:
            self.enter()
            yield
            return
        first = self._folders[0]
        mine = self._own(first)
        for name in mine:
            del sys.modules[name]
        sys.modules.update(self._others.get(folder, {}))
        sys.path.insert(0, folder)
        try:
            yield
        finally:
            sys.path.remove(folder)
            self._others[folder] = others = self._own(folder)
            for name in others:
                sys.modules.pop(name, None)
            sys.modules.update(mine)

    @staticmethod
    def _import(main: Path) -> ModuleType:
        name = main.stem
        present = sys.modules.get(name)
        if present is not None:
            file = getattr(present, "__file__", None)
            if isinstance(file, str) and Path(file) == main:
                return present
        spec = importlib.util.spec_from_file_location(name, main)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        if present is None:  # a main named like a module that others use (`queue.py`) stays out of their way
            sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException as error:
            if present is None:
                sys.modules.pop(name, None)
            loader.explain_import(error)
            raise
        return module

    # Putting back -----------------------------------------------------------------------------------------------------

    def remember(self) -> Snapshot:
        """What the modules' global names stand for now."""
        modules = list(self._own(self._folders[0]).values()) if self._folders else []
        for others in self._others.values():
            modules += others.values()
        user_time.install()
        user_time.stand_in(modules)
        return Snapshot(modules)


class Snapshot:
    """The global names of modules, and what the lists, dicts and sets among them hold."""

    def __init__(self, modules: list[ModuleType]) -> None:
        self._names = [(module, dict(vars(module))) for module in modules]
        self._held: dict[int, tuple[Any, Any]] = {}
        for _, names in self._names:
            for name, value in names.items():
                if type(value) in _PLAIN and not name.startswith("__"):
                    self._held[id(value)] = (value, value.copy())

    def put_back(self) -> None:
        """Undo what has changed since, in place."""
        for module, names in self._names:
            now = vars(module)
            if now.keys() != names.keys() or any(now[name] is not value for name, value in names.items()):
                now.clear()
                now.update(names)
        for value, held in self._held.values():
            if value != held:
                value.clear()
                if isinstance(value, list):
                    value.extend(held)
                else:
                    value.update(held)
