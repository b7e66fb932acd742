"""What a worker's process is told of its bindings: a spec for each name in `env`, with its kind.

The worker's side makes the object by `kind` (runtime/worker/env.py); the server's side finds the handler by it
(bindings.py) and reads the rest.
"""

from __future__ import annotations

from typing import Any

from wrangler_py.config.binding_types import ServiceBinding
from wrangler_py.config.model import WorkerConfig


def _service(service: ServiceBinding) -> dict[str, Any]:
    return {
        "kind": "service",
        "service": service.service,
        "entrypoint": service.entrypoint,
        "props": dict(service.props) or None,
    }


def binding_specs(config: WorkerConfig) -> dict[str, dict[str, Any]]:
    """The specs by name. A binding that wpy cannot serve is there too: using it is an error that says so."""
    specs: dict[str, dict[str, Any]] = {p.binding: {"kind": "queue", "queue": p.queue} for p in config.producers}
    specs |= {kv.binding: {"kind": "kv", "id": kv.id} for kv in config.kv_namespaces}
    specs |= {d1.binding: {"kind": "d1", "id": d1.database_id} for d1 in config.d1_databases}
    specs |= {r2.binding: {"kind": "r2", "bucket": r2.bucket_name} for r2 in config.r2_buckets}
    specs |= {s.binding: _service(s) for s in config.services}
    specs |= {u.name: {"kind": "unserved", "what": u.kind} for u in config.unsupported if u.in_env}
    # A variable given with --var takes the place of a binding.
    return {name: spec for name, spec in specs.items() if name not in config.secrets}
