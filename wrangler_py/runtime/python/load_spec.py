"""What a Python worker's process is told when it loads a worker, and what is worth a warning then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wrangler_py.config.model import WorkerConfig
from wrangler_py.runtime.compat import python_of, resolve_flags
from wrangler_py.runtime.python.binding_specs import binding_specs

NO_TIME_MACHINE = (
    "--worker-clock: the Worker's Python has no time-machine, so its own time stays real. Install it: "
    '{python} -m pip install "wrangler_py[worker-clock]"'
)
OTHER_PYTHON = (
    "Python {here} runs this Worker here, Cloudflare runs {wanted} for {date}; "
    "`wpy dev` under Python {wanted} is closest to it"
)


def load_spec(config: WorkerConfig) -> dict[str, Any]:
    """LOAD's spec (worker/frames.py) for a worker."""
    return {
        "main": str(config.main),
        "root": str(config.root),
        "name": config.name,
        "compatibility_date": config.compatibility_date,
        "compatibility_flags": list(config.compatibility_flags),
        "flags": resolve_flags(config.compatibility_date, config.compatibility_flags),
        "vars": dict(config.vars),
        "secrets": dict(config.secrets),
        "bindings": binding_specs(config),
        "bundled": [glob for rule in config.bundling.rules for glob in rule.globs],
    }


def other_python(version: str, spec: Mapping[str, Any]) -> str | None:
    """That another Python than `version` ("3.11.7") runs the worker on Cloudflare, or None."""
    here, wanted = ".".join(version.split(".")[:2]), python_of(spec["compatibility_date"], spec["flags"])
    if not here or here == wanted:
        return None
    date = spec["compatibility_date"]
    told = f"the compatibility date {date}" if date else "a Worker without compatibility_date"
    return OTHER_PYTHON.format(here=here, wanted=wanted, date=told)
