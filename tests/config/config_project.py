"""A project folder on disk, loaded the way `wpy dev` loads it."""

import datetime
import json
from pathlib import Path

from wrangler_py.config import ConfigError, Problem, SessionConfig, WorkerConfig, load_session

#: A config without a single problem; what a test is about stands behind it.
HEAD = (
    'name = "app"\nmain = "src/entry.py"\ncompatibility_date = "2026-01-01"\ncompatibility_flags = ["python_workers"]\n'
)
HEAD_JSON = {
    "name": "app",
    "main": "src/entry.py",
    "compatibility_date": "2026-01-01",
    "compatibility_flags": ["python_workers"],
}
#: The first line behind HEAD.
BODY_LINE = 5


class Project:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("src/entry.py", "")

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def toml(self, body: str = "", name: str = "wrangler.toml") -> Path:
        return self.write(name, HEAD + body)

    def json(self, more: dict | None = None, name: str = "wrangler.jsonc") -> Path:
        return self.write(name, json.dumps({**HEAD_JSON, **(more or {})}))

    def load(self, *paths: str, cwd: Path | None = None, **options) -> SessionConfig:
        options.setdefault("environ", {})
        options.setdefault("today", datetime.date(2026, 11, 22))
        return load_session([Path(p) for p in paths], cwd=cwd or self.root, **options)

    def worker(self, **options) -> WorkerConfig:
        """The one Worker of a config that has nothing wrong with it."""
        session = self.load(**options)
        assert session.warnings == ()
        return session.workers[0]

    def problems(self, *paths: str, **options) -> list[Problem]:
        """Everything that is reported, whether or not it stops the start."""
        try:
            return list(self.load(*paths, **options).warnings)
        except ConfigError as error:
            assert any(p.severity == "error" for p in error.problems)
            return error.problems

    def errors(self, *paths: str, **options) -> list[str]:
        return [p.text for p in self.problems(*paths, **options) if p.severity == "error"]

    def warnings(self, *paths: str, **options) -> list[str]:
        return [p.text for p in self.problems(*paths, **options) if p.severity == "warning"]

    def only(self, *paths: str, **options) -> Problem:
        """The single problem there is."""
        problems = self.problems(*paths, **options)
        assert len(problems) == 1, problems
        return problems[0]
