"""The typed result of reading wrangler.toml / .json / .jsonc: what one `wpy dev` session is asked to run.

Only production's meaning lives here: a value that the config leaves out has Cloudflare's production default
(https://developers.cloudflare.com/queues/configuration/configure-queues/), not miniflare's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, field

from wrangler_py.config.binding_types import (
    AnalyticsEngineDataset,
    Assets,
    Bundling,
    D1Database,
    DurableObjectBinding,
    Hyperdrive,
    KvNamespace,
    Migration,
    MtlsCertificate,
    R2Bucket,
    RateLimit,
    SecretsStoreSecret,
    SendEmail,
    ServiceBinding,
    Workflow,
)


class Producer(Struct, frozen=True):
    """One entry of `queues.producers`: `env.<binding>` sends to `queue`."""

    binding: str
    queue: str
    #: Read only to warn about it: production has ignored it since 2024.
    delivery_delay: int | None = None
    remote: bool = False


class Consumer(Struct, frozen=True):
    """One entry of `queues.consumers`. Times are in seconds."""

    queue: str
    max_batch_size: int = 10
    max_batch_timeout: float = 5
    max_retries: int = 3
    dead_letter_queue: str | None = None
    #: None means that the broker scales by itself.
    max_concurrency: int | None = None
    retry_delay: int = 0


class UnsupportedBinding(Struct, frozen=True):
    """A binding that the config names and that this version of wpy cannot serve (yet)."""

    kind: str  # "KV Namespace", "D1 Database", ... in wrangler's words
    name: str  # the name in `env`
    field: str  # where it stands, e.g. `kv_namespaces[0]`
    #: False for what a Worker is connected to without seeing it in `env`.
    in_env: bool = True


class DevSettings(Struct, frozen=True):
    """The `dev` section: what `wpy dev` listens on when the command line does not say. None: wpy's own default."""

    ip: str | None = None
    port: int | None = None


class CustomBuild(Struct, frozen=True):
    """The `build` section of a Worker that has a command of its own. All paths are absolute."""

    command: str
    #: Where it runs.
    cwd: Path
    #: Folders; it runs again when a file in them changes.
    watch: tuple[Path, ...]


class Problem(Struct, frozen=True):
    """One thing that is wrong (`error`) or doubtful (`warning`) in a config."""

    severity: Literal["error", "warning"]
    text: str
    file: Path | None = None
    line: int | None = None  # 1-based
    field: str | None = None  # dotted path, e.g. `queues.consumers[0].max_batch_size`
    hint: str | None = None  # what to do next: the allowed range, the nearest valid name
    #: The environment whose section it was found in, when `--env` named one.
    environment: str | None = None
    #: The offending line with a caret under the place.
    excerpt: str | None = None
    #: A warning here that `wrangler deploy` stops on.
    stops_deploy: bool = False


class CronRefusal(Struct, frozen=True):
    """A cron that Cloudflare refuses: its place in the list, its text, what to do, and the part at fault."""

    index: int
    text: str
    hint: str
    excerpt: str | None = None


class WorkerConfig(Struct, frozen=True):
    """One worker of a session."""

    name: str
    #: The config file, or None when a script was given on the command line without one.
    path: Path | None
    #: The folder the config stands in; `main` and `.dev.vars` are relative to it.
    root: Path
    #: Absolute path of the entry module.
    main: Path
    compatibility_date: str | None = None  # "YYYY-MM-DD"
    compatibility_flags: tuple[str, ...] = ()
    environment: str | None = None
    vars: Mapping[str, Any] = field(default_factory=dict)
    #: From `.dev.vars` / `.env` and `--var`: shown as hidden in the bindings table. No name stands in both
    #: `vars` and `secrets`: one that does in the files is only here.
    secrets: Mapping[str, str] = field(default_factory=dict)
    producers: tuple[Producer, ...] = ()
    consumers: tuple[Consumer, ...] = ()
    crons: tuple[str, ...] = ()
    kv_namespaces: tuple[KvNamespace, ...] = ()
    d1_databases: tuple[D1Database, ...] = ()
    r2_buckets: tuple[R2Bucket, ...] = ()
    durable_objects: tuple[DurableObjectBinding, ...] = ()
    migrations: tuple[Migration, ...] = ()
    workflows: tuple[Workflow, ...] = ()
    services: tuple[ServiceBinding, ...] = ()
    assets: Assets | None = None
    ratelimits: tuple[RateLimit, ...] = ()
    analytics_engine_datasets: tuple[AnalyticsEngineDataset, ...] = ()
    hyperdrive: tuple[Hyperdrive, ...] = ()
    secrets_store_secrets: tuple[SecretsStoreSecret, ...] = ()
    mtls_certificates: tuple[MtlsCertificate, ...] = ()
    send_email: tuple[SendEmail, ...] = ()
    #: The name in `env` of `version_metadata`.
    version_metadata: str | None = None
    #: Of the kinds above too, as long as the Worker's runtime cannot serve them.
    unsupported: tuple[UnsupportedBinding, ...] = ()
    bundling: Bundling = field(default_factory=Bundling)
    build: CustomBuild | None = None
    #: `limits.cpu_ms`.
    cpu_ms: int | None = None
    dev: DevSettings = DevSettings()
    #: Every file the result was read from; a session watches them.
    files: tuple[Path, ...] = ()

    @property
    def language(self) -> Literal["python", "javascript"]:
        """Which runtime `main` belongs to, by its suffix."""
        return "python" if self.main.suffix == ".py" else "javascript"


class SessionConfig(Struct, frozen=True):
    """Everything `wpy dev` was asked to run. The first worker is the primary one, which gets the HTTP traffic."""

    workers: tuple[WorkerConfig, ...]
    warnings: tuple[Problem, ...] = ()


class ConfigError(Exception):
    """The config cannot be used. Carries all problems found, errors and warnings, in file order."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(p.text for p in problems if p.severity == "error"))
