"""From a checked entry of the config to its typed value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from wrangler_py.config.binding_types import (
    AnalyticsEngineDataset,
    Assets,
    D1Database,
    DurableObjectBinding,
    Hyperdrive,
    KvNamespace,
    MtlsCertificate,
    R2Bucket,
    RateLimit,
    SecretsStoreSecret,
    SendEmail,
    ServiceBinding,
    Workflow,
)

#: The environment variables that wrangler takes a local connection string from, the first that is set.
_HYPERDRIVE_VARIABLES = (
    "CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_",
    "WRANGLER_HYPERDRIVE_LOCAL_CONNECTION_STRING_",
)


def typed_value(key: str, entry: dict[str, Any], root: Path, environ: Mapping[str, str]) -> Any:
    """The value for WorkerConfig's field `key`, or None when the entry is too faulty to make one (it was reported)."""
    read = READERS[key]
    try:
        return read(entry, root, environ)
    except (KeyError, TypeError, ValueError):
        return None


def _kv(entry: dict[str, Any], root: Path, environ: Mapping[str, str]) -> KvNamespace:
    return KvNamespace(_text(entry, "binding"), _first(entry, "preview_id", "id", "binding"))


def _d1(entry: dict[str, Any], root: Path, environ: Mapping[str, str]) -> D1Database:
    return D1Database(
        binding=_text(entry, "binding"),
        database_id=_first(entry, "preview_database_id", "database_id", "binding"),
        database_name=_first(entry, "database_name", "binding"),
        migrations_dir=entry.get("migrations_dir") or "migrations",
        migrations_table=entry.get("migrations_table") or "d1_migrations",
    )


def _r2(entry: dict[str, Any], root: Path, environ: Mapping[str, str]) -> R2Bucket:
    name = _first(entry, "preview_bucket_name", "bucket_name", "binding")
    return R2Bucket(_text(entry, "binding"), name, entry.get("jurisdiction"))


def _object(entry: dict[str, Any], root: Path, environ: Mapping[str, str]) -> DurableObjectBinding:
    return DurableObjectBinding(_text(entry, "name"), _text(entry, "class_name"), entry.get("script_name"))


def _workflow(entry: dict[str, Any], root: Path, environ: Mapping[str, str]) -> Workflow:
    steps = entry.get("limits", {}).get("steps")
    return Workflow(
        binding=_text(entry, "binding"),
        name=_text(entry, "name"),
        class_name=_text(entry, "class_name"),
        script_name=entry.get("script_name"),
        step_limit=None if steps is None else int(steps),
    )


def _service(entry: dict[str, Any], root: Path, environ: Mapping[str, str]) -> ServiceBinding:
    props = entry.get("props")
    return ServiceBinding(
        binding=_text(entry, "binding"),
        service=_text(entry, "service"),
        entrypoint=entry.get("entrypoint"),
        props=props if isinstance(props, dict) else {},
    )


def _assets(entry: dict[str, Any], root: Path, environ: Mapping[str, str]) -> Assets:
    first = entry.get("run_worker_first", False)
    directory = entry.get("directory")
    default = Assets(None)
    return Assets(
        directory=(root / directory).absolute() if directory else None,
        binding=entry.get("binding"),
        html_handling=entry.get("html_handling", default.html_handling),
        not_found_handling=entry.get("not_found_handling", default.not_found_handling),
        run_worker_first=tuple(first) if isinstance(first, list) else bool(first),
    )


def _rate_limit(entry: dict[str, Any], root: Path, environ: Mapping[str, str]) -> RateLimit:
    simple = entry["simple"]
    return RateLimit(
        name=_text(entry, "name"),
        namespace_id=_text(entry, "namespace_id"),
        limit=int(simple["limit"]),
        period=int(simple["period"]),
    )


def _dataset(entry: dict[str, Any], root: Path, environ: Mapping[str, str]) -> AnalyticsEngineDataset:
    return AnalyticsEngineDataset(_text(entry, "binding"), _first(entry, "dataset", "binding"))


def _hyperdrive(entry: dict[str, Any], root: Path, environ: Mapping[str, str]) -> Hyperdrive:
    binding = _text(entry, "binding")
    given = next((value for prefix in _HYPERDRIVE_VARIABLES if (value := environ.get(prefix + binding))), None)
    return Hyperdrive(binding, _text(entry, "id"), given or entry.get("localConnectionString"))


def _secret(entry: dict[str, Any], root: Path, environ: Mapping[str, str]) -> SecretsStoreSecret:
    return SecretsStoreSecret(_text(entry, "binding"), _text(entry, "store_id"), _text(entry, "secret_name"))


def _certificate(entry: dict[str, Any], root: Path, environ: Mapping[str, str]) -> MtlsCertificate:
    return MtlsCertificate(_text(entry, "binding"), _text(entry, "certificate_id"))


def _email(entry: dict[str, Any], root: Path, environ: Mapping[str, str]) -> SendEmail:
    allowed = entry.get("allowed_destination_addresses") or ()
    return SendEmail(_text(entry, "name"), entry.get("destination_address"), tuple(map(str, allowed)))


def _text(entry: dict[str, Any], key: str) -> str:
    value = entry[key]
    if not isinstance(value, str):
        raise TypeError(key)
    return value


def _first(entry: dict[str, Any], *keys: str) -> str:
    """The first of these fields that holds a text. Raises TypeError where none does."""
    for key in keys:
        value = entry.get(key)
        if isinstance(value, str) and value:
            return value
    raise TypeError(keys[-1])


READERS: dict[str, Callable[[dict[str, Any], Path, Mapping[str, str]], Any]] = {
    "kv_namespaces": _kv,
    "d1_databases": _d1,
    "r2_buckets": _r2,
    "durable_objects": _object,
    "workflows": _workflow,
    "services": _service,
    "assets": _assets,
    "ratelimits": _rate_limit,
    "analytics_engine_datasets": _dataset,
    "hyperdrive": _hyperdrive,
    "secrets_store_secrets": _secret,
    "mtls_certificates": _certificate,
    "send_email": _email,
    "version_metadata": lambda entry, root, environ: _text(entry, "binding"),
}
