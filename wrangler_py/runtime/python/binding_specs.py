"""What a worker's process is told of its bindings: a spec for each name in `env`, with its kind.

The worker's side makes the object by `kind` (runtime/worker/env.py); the server's side finds the handler by it
(bindings.py) and reads the rest.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from wrangler_py.config.binding_types import DurableObjectBinding, ServiceBinding
from wrangler_py.config.model import WorkerConfig


def _service(service: ServiceBinding) -> dict[str, Any]:
    return {
        "kind": "service",
        "service": service.service,
        "entrypoint": service.entrypoint,
        "props": dict(service.props) or None,
    }


def _small_specs(config: WorkerConfig) -> dict[str, dict[str, Any]]:
    """Bindings with one method or none."""
    specs: dict[str, dict[str, Any]] = {}
    if config.assets is not None and config.assets.binding:
        specs[config.assets.binding] = {"kind": "assets"}
    for rate in config.ratelimits:
        specs[rate.name] = {
            "kind": "ratelimit",
            "namespace_id": rate.namespace_id,
            "limit": rate.limit,
            "period": rate.period,
        }
    for dataset in config.analytics_engine_datasets:
        specs[dataset.binding] = {"kind": "analytics", "dataset": dataset.dataset}
    for secret in config.secrets_store_secrets:
        specs[secret.binding] = {"kind": "secret", "store_id": secret.store_id, "secret_name": secret.secret_name}
    for hyperdrive in config.hyperdrive:
        specs[hyperdrive.binding] = {"kind": "hyperdrive", "connection_string": hyperdrive.local_connection_string}
    for certificate in config.mtls_certificates:
        specs[certificate.binding] = {"kind": "mtls"}
    for email in config.send_email:
        specs[email.name] = {
            "kind": "email",
            "destination_address": email.destination_address,
            "allowed_destination_addresses": list(email.allowed_destination_addresses),
        }
    if config.version_metadata:
        # Every load is a version of its own, as every deployment is.
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        specs[config.version_metadata] = {
            "kind": "version_metadata",
            "id": str(uuid.uuid4()),
            "tag": "",
            "timestamp": now,
        }
    return specs


def _durable_object(config: WorkerConfig, binding: DurableObjectBinding) -> dict[str, Any]:
    script = binding.script_name or config.name
    return {"kind": "durable_object", "class": binding.class_name, "script": script, "own": script == config.name}


def binding_specs(config: WorkerConfig) -> dict[str, dict[str, Any]]:
    """The specs by name. A binding that wpy cannot serve is there too: using it is an error that says so."""
    specs: dict[str, dict[str, Any]] = {p.binding: {"kind": "queue", "queue": p.queue} for p in config.producers}
    specs |= {kv.binding: {"kind": "kv", "id": kv.id} for kv in config.kv_namespaces}
    specs |= {d1.binding: {"kind": "d1", "id": d1.database_id} for d1 in config.d1_databases}
    specs |= {r2.binding: {"kind": "r2", "bucket": r2.bucket_name} for r2 in config.r2_buckets}
    specs |= {s.binding: _service(s) for s in config.services}
    specs |= _small_specs(config)
    specs |= {d.name: _durable_object(config, d) for d in config.durable_objects}
    specs |= {w.binding: {"kind": "workflow", "workflow": w.name} for w in config.workflows}
    specs |= {u.name: {"kind": "unserved", "what": u.kind} for u in config.unsupported if u.in_env}
    # A variable given with --var takes the place of a binding.
    return {name: spec for name, spec in specs.items() if name not in config.secrets}
