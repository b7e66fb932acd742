"""What a config says about the bindings of a Worker other than queues, and about how its JavaScript is bundled.

Names of fields are wrangler's. An id that the config leaves out is the one wrangler uses locally: the preview id, then
the id, then the binding's own name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, field


class KvNamespace(Struct, frozen=True):
    """One entry of `kv_namespaces`."""

    binding: str
    id: str


class D1Database(Struct, frozen=True):
    """One entry of `d1_databases`."""

    binding: str
    database_id: str
    database_name: str
    #: Relative to the config's folder.
    migrations_dir: str = "migrations"
    migrations_table: str = "d1_migrations"


class R2Bucket(Struct, frozen=True):
    """One entry of `r2_buckets`."""

    binding: str
    bucket_name: str
    jurisdiction: str | None = None


class DurableObjectBinding(Struct, frozen=True):
    """One entry of `durable_objects.bindings`. Without `script_name` the class is the Worker's own."""

    name: str
    class_name: str
    script_name: str | None = None


class Migration(Struct, frozen=True):
    """One entry of `migrations`: what became of Durable Object classes."""

    tag: str
    new_classes: tuple[str, ...] = ()
    new_sqlite_classes: tuple[str, ...] = ()
    #: (from, to)
    renamed_classes: tuple[tuple[str, str], ...] = ()
    deleted_classes: tuple[str, ...] = ()
    #: (from, from_script, to)
    transferred_classes: tuple[tuple[str, str, str], ...] = ()


class Workflow(Struct, frozen=True):
    """One entry of `workflows`. `step_limit` is `limits.steps`. Without `script_name` the class is the Worker's own."""

    binding: str
    name: str
    class_name: str
    script_name: str | None = None
    step_limit: int | None = None


class ServiceBinding(Struct, frozen=True):
    """One entry of `services`. `entrypoint` None: the default one."""

    binding: str
    service: str
    entrypoint: str | None = None
    props: Mapping[str, Any] = field(default_factory=dict)


class Assets(Struct, frozen=True):
    """The `assets` section. `binding` None: the Worker's code cannot ask for them."""

    directory: Path | None  # absolute
    binding: str | None = None
    html_handling: str = "auto-trailing-slash"
    not_found_handling: str = "none"
    #: True, False, or the paths (patterns) that reach the Worker first.
    run_worker_first: bool | tuple[str, ...] = False


class RateLimit(Struct, frozen=True):
    """One entry of `ratelimits`: `limit` calls a key in `period` seconds (10 or 60)."""

    name: str
    namespace_id: str
    limit: int
    period: int


class AnalyticsEngineDataset(Struct, frozen=True):
    """One entry of `analytics_engine_datasets`."""

    binding: str
    dataset: str


class Hyperdrive(Struct, frozen=True):
    """One entry of `hyperdrive`. The connection string is the one for local use, which an environment variable beats."""

    binding: str
    id: str
    local_connection_string: str | None = None


class SecretsStoreSecret(Struct, frozen=True):
    """One entry of `secrets_store_secrets`."""

    binding: str
    store_id: str
    secret_name: str


class MtlsCertificate(Struct, frozen=True):
    """One entry of `mtls_certificates`."""

    binding: str
    certificate_id: str


class SendEmail(Struct, frozen=True):
    """One entry of `send_email`. Without addresses any may be written to."""

    name: str
    destination_address: str | None = None
    allowed_destination_addresses: tuple[str, ...] = ()


class Rule(Struct, frozen=True):
    """One entry of `rules`: as what files are imported."""

    type: Literal["ESModule", "CommonJS", "CompiledWasm", "Text", "Data", "PythonModule", "PythonRequirement"]
    globs: tuple[str, ...]
    fallthrough: bool | None = None


class Bundling(Struct, frozen=True):
    """How JavaScript is bundled. None: not set."""

    rules: tuple[Rule, ...] = ()
    define: Mapping[str, str] = field(default_factory=dict)
    alias: Mapping[str, str] = field(default_factory=dict)
    no_bundle: bool | None = None
    find_additional_modules: bool | None = None
    preserve_file_names: bool | None = None
    minify: bool | None = None
    keep_names: bool | None = None
    jsx_factory: str | None = None
    jsx_fragment: str | None = None
    #: Absolute, both.
    tsconfig: Path | None = None
    base_dir: Path | None = None
