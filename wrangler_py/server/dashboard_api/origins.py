"""Where in a config file a setting stands, as "wrangler.toml:14"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wrangler_py.config.model import WorkerConfig
from wrangler_py.config.positions import FieldPath
from wrangler_py.config.source import Source, SourceError, read_source


class Origins:
    """Looks fields of one worker's config up, in the environment's section and then at the top."""

    def __init__(self, worker: WorkerConfig) -> None:
        self._worker = worker
        self._source: Source | None = None
        if worker.path is not None:
            try:
                self._source = read_source(worker.path)
            except (SourceError, OSError):
                pass  # it was changed and is broken now; what is in force was read from it before

    def of_consumer(self, queue: str, key: str) -> str | None:
        """Where a consumer's setting was given; None when it was not, and the default holds."""
        return self._element(
            ("queues", "consumers"), lambda entry: isinstance(entry, dict) and entry.get("queue") == queue, key
        )

    def of_cron(self, cron: str) -> str | None:
        """Where a cron stands."""
        return self._element(("triggers", "crons"), lambda entry: entry == cron, None)

    def _element(self, path: FieldPath, fits: Callable[[Any], bool], key: str | None) -> str | None:
        if self._source is None:
            return None
        environment = self._worker.environment
        for base in ((("env", environment, *path),) if environment else ()) + (path,):
            listed = self._at(base)
            if not isinstance(listed, list):
                continue
            for number, entry in enumerate(listed):
                if fits(entry):
                    if key is not None and key not in entry:
                        return None
                    return self._shown((*base, number, *((key,) if key else ())))
        return None

    def _at(self, path: FieldPath) -> Any:
        assert self._source is not None
        value: Any = self._source.data
        for part in path:
            if not isinstance(value, dict) or part not in value:
                return None
            value = value[part]
        return value

    def _shown(self, path: FieldPath) -> str | None:
        assert self._source is not None and self._worker.path is not None
        line = self._source.line(path)
        return None if line is None else f"{self._worker.path.name}:{line}"
