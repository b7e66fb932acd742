"""workerd's configuration of a session: a service for every JavaScript Worker, and what its bindings reach.

Everything that wpy serves is an external service on one Unix socket; the header `x-wpy` says which Worker asks for what.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from msgspec import Struct

from wrangler_py.clock import SystemClock
from wrangler_py.config.binding_types import Hyperdrive, ServiceBinding
from wrangler_py.config.model import WorkerConfig
from wrangler_py.runtime.workerd.bundle import Bundle
from wrangler_py.runtime.workerd.capnp_text import VOID, Embed, Name, config_text
from wrangler_py.runtime.workerd.loopback import RESOURCE

CONFIG = "config.capnp"
DISPATCH_SOCKET = "dispatch"
#: The compatibility date of wpy's own modules in workerd: one that the oldest workerd accepts.
_SHIM_DATE = "2025-08-01"
#: From this date on workerd has `ctx.exports` without being asked, and refuses to be asked.
_CTX_EXPORTS_DATE = "2025-11-17"
_INTERNET = "internet"
_SMALL = "wpy-internal:small"
#: The name that workerd's own `cloudflare:email` imports.
_EMAIL = "cloudflare-internal:email"
_WORKFLOW = "wpy-internal:workflow"
#: Modules that make bindings, and what they import; each with its file.
_INTERNAL = {_SMALL: "small.js", _WORKFLOW: "workflow_binding.js", "wpy-internal:rpc": "rpc.js", _EMAIL: "email.js"}
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)
#: `request.cf` and the scheme of the URL come in these headers, which the Worker does not see.
_FRONT_HTTP = {"cfBlobHeader": "wpy-cf-blob", "forwardedProtoHeader": "wpy-forwarded-proto"}


class BuiltWorker(Struct, frozen=True):
    """A Worker that workerd can be configured with."""

    config: WorkerConfig
    bundle: Bundle
    compatibility_date: str
    #: Where its modules are.
    folder: Path
    warnings: tuple[str, ...] = ()


class Place(Struct, frozen=True):
    """Where a configuration stands and what it refers to."""

    folder: Path
    #: The socket of the bindings, relative to `folder`.
    loopback: str
    #: Where Durable Objects are kept; None: in memory.
    durable: Path | None
    #: PEM files that outgoing connections trust beside the system's.
    certificates: tuple[Path, ...] = ()
    #: Whether consoles say who prints: not while a debugger shows them.
    tagged: bool = True


def socket_name(number: int) -> str:
    """The socket that leads to the Worker with this number, relative to the configuration's folder."""
    return f"w{number}.sock"


def write_config(workers: Sequence[BuiltWorker], place: Place) -> Path:
    """Write the configuration and the modules of wpy's own into `place.folder`. Workers are numbered in their order."""
    for name in ("dispatch.js", "tail.js", "small.js", "python.js", "rpc.js", "workflow_binding.js", "email.js"):
        (place.folder / name).write_text(shim(name), encoding="utf-8")
    names = {worker.config.name for worker in workers}
    services: list[dict[str, Any]] = []
    for worker in workers:
        services += _worker_services(worker, names, place)
    services += [
        {"name": "wpy:dispatch", "worker": _dispatcher(workers)},
        {"name": "wpy:control", "external": _external("wpy", "control/", place)},
        {"name": "wpy:tail", "worker": _tail()},
        {"name": _INTERNET, "network": _network(place.certificates)},
    ]
    if place.durable is not None:
        services.append({"name": "wpy:durable", "disk": {"path": str(place.durable), "writable": True}})
    sockets = [_socket(DISPATCH_SOCKET, "dispatch.sock", "wpy:dispatch", {})]
    for number, worker in enumerate(workers):
        front = {"name": f"user:{worker.config.name}", "entrypoint": "WpyFront"}
        sockets.append(_socket(f"worker{number}", socket_name(number), front, _FRONT_HTTP))
    path = place.folder / CONFIG
    config = {
        "structuredLogging": True,
        "services": services,
        "sockets": sockets,
        "extensions": [
            {"modules": [{"name": n, "esModule": Embed(f), "internal": True} for n, f in _INTERNAL.items()]}
        ],
    }
    path.write_text(config_text(config), encoding="utf-8")
    return path


def shim(name: str) -> str:
    """The text of one of the modules that wpy puts into workerd."""
    return resources.files("wrangler_py.runtime.workerd").joinpath("shim", name).read_text(encoding="utf-8")


def _socket(name: str, address: str, service: Any, http: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "address": f"unix:{address}", "http": http, "service": service}


def _external(worker: str, resource: str, place: Place, *, whole_url: bool = False) -> dict[str, Any]:
    """`whole_url`: requests name the whole URL, for whoever has to pass it on."""
    header = {"name": RESOURCE, "value": f"{worker} {resource}"}
    http = {"injectRequestHeaders": [header], "style": Name("proxy") if whole_url else None}
    return {"address": f"unix:{place.loopback}", "http": http}


def _network(certificates: Sequence[Path]) -> dict[str, Any]:
    # One by one: workerd takes each text for a chain, and a chain may have ten.
    trusted = [found for path in certificates for found in _CERTIFICATE.findall(path.read_text(encoding="utf-8"))]
    tls = {"trustBrowserCas": True, "trustedCertificates": trusted or None}
    return {"allow": ["public", "private"], "tlsOptions": tls}


# wpy's own ------------------------------------------------------------------------------------------------------------


def _dispatcher(workers: Sequence[BuiltWorker]) -> dict[str, Any]:
    bindings: list[dict[str, Any]] = []
    for number, worker in enumerate(workers):
        service = f"user:{worker.config.name}"
        bindings.append({"name": f"worker{number}", "service": service})
        bindings.append({"name": f"front{number}", "service": {"name": service, "entrypoint": "WpyFront"}})
    return {
        "modules": [{"name": "wpy-dispatch.js", "esModule": Embed("dispatch.js")}],
        "compatibilityDate": _SHIM_DATE,
        "compatibilityFlags": ["service_binding_extra_handlers"],
        "bindings": bindings,
    }


def _tail() -> dict[str, Any]:
    return {
        "modules": [{"name": "wpy-tail.js", "esModule": Embed("tail.js")}],
        "compatibilityDate": _SHIM_DATE,
        "bindings": [{"name": "WPY", "service": "wpy:control"}],
    }


# A Worker -------------------------------------------------------------------------------------------------------------


def _worker_services(worker: BuiltWorker, names: set[str], place: Place) -> list[dict[str, Any]]:
    config = worker.config
    bindings = Bindings(config, names, place)
    bindings.add_all()
    flags = [*config.compatibility_flags, *worker.bundle.flags]
    if not {"nodejs_als", "nodejs_compat", "nodejs_compat_v2"} & set(flags):
        flags.append("nodejs_als")  # the shim's own need (shim/console.js)
    if worker.compatibility_date < _CTX_EXPORTS_DATE and not {"enable_ctx_exports", "disable_ctx_exports"} & set(flags):
        flags.append("enable_ctx_exports")  # and this (shim/entry.js)
    service = {
        "modules": _modules(worker, place),
        "compatibilityDate": worker.compatibility_date,
        "compatibilityFlags": flags,
        "bindings": bindings.bindings,
        "globalOutbound": _INTERNET,
        "cacheApiOutbound": bindings.service("cache", config.name, whole_url=True),
        "tails": [{"name": "wpy:tail", "props": {"json": json.dumps({"worker": config.name})}}],
        **_durable_objects(config, place),
    }
    return [{"name": f"user:{config.name}", "worker": service}, *bindings.services.values()]


def _modules(worker: BuiltWorker, place: Place) -> list[dict[str, Any]]:
    name = worker.config.name
    entry = worker.bundle.modules[0].name
    folder = place.folder / f"shim-{name}"
    folder.mkdir()
    tagged = "true" if place.tagged else "false"
    script = worker.bundle.service_worker
    own = {  # the first of them is the Worker's entry
        "wpy-entry.js": shim("entry.js").replace("./wpy-user.js", "./wpy-user.js" if script else f"./{entry}"),
        "wpy-console.js": shim("console.js"),
        "wpy-rpc.js": shim("rpc.js"),
        "wpy-workflow.js": shim("workflow.js"),
        "wpy-worker.js": f"export const worker = {json.dumps(name)};\nexport const tagged = {tagged};\n",
    }
    if script:
        own["wpy-service-worker.js"] = shim("service_worker.js")
        own["wpy-user.js"] = (
            f'import {{ worker }} from "./wpy-service-worker.js";\nimport "./{entry}";\nexport default worker();\n'
        )
    modules = []
    for file, text in own.items():
        (folder / file).write_text(text, encoding="utf-8")
        modules.append({"name": f"{name}/{file}", "esModule": Embed(f"{folder.name}/{file}")})
    for module in worker.bundle.modules:
        relative = _relative(module.file, place.folder)
        modules.append({"name": f"{name}/{module.name}", module.kind: Embed(relative)})
    return modules


def _relative(file: Path, folder: Path) -> str:
    return os.path.relpath(file, folder)


def durable_classes(config: WorkerConfig) -> dict[str, bool]:
    """The Durable Object classes of a Worker, and whether each is backed by SQLite: what its migrations come to."""
    classes: dict[str, bool] = {}
    for migration in config.migrations:
        for name in migration.deleted_classes:
            classes.pop(name, None)
        for old, new in migration.renamed_classes:
            classes[new] = classes.pop(old, False)
        for _, _, new in migration.transferred_classes:
            classes[new] = False
        classes.update(dict.fromkeys(migration.new_classes, False))
        classes.update(dict.fromkeys(migration.new_sqlite_classes, True))
    for binding in config.durable_objects:
        if binding.script_name in (None, config.name):
            classes.setdefault(binding.class_name, False)
    return classes


def _durable_objects(config: WorkerConfig, place: Place) -> dict[str, Any]:
    classes = durable_classes(config)
    if not classes:
        return {}
    storage: dict[str, Any] = {"inMemory": VOID} if place.durable is None else {"localDisk": "wpy:durable"}
    return {
        "durableObjectNamespaces": [
            # The key names the folder of the objects; miniflare builds it the same way.
            {"className": name, "uniqueKey": f"{config.name}-{name}", "enableSql": sql or None}
            for name, sql in classes.items()
        ],
        "durableObjectStorage": storage,
    }


class Bindings:
    """The bindings of one Worker and the services that they need."""

    def __init__(self, config: WorkerConfig, names: set[str], place: Place) -> None:
        """`names`: the Workers that run in the same workerd."""
        self.bindings: list[dict[str, Any]] = []
        self.services: dict[str, dict[str, Any]] = {}
        self._config = config
        self._names = names
        self._place = place

    def service(self, kind: str, resource: str, *, whole_url: bool = False) -> str:
        """The name of the service that leads to a resource of wpy's."""
        target = f"{kind}/{resource}"
        name = f"wpy:{self._config.name}:{target}"
        external = _external(self._config.name, target, self._place, whole_url=whole_url)
        self.services[name] = {"name": name, "external": external}
        return name

    def _add(self, name: str, **value: Any) -> None:
        if name not in self._config.secrets:  # a variable given with --var takes the place of a binding
            self.bindings.append({"name": name, **value})

    def add_all(self) -> None:
        """All bindings of the Worker's config, except those that no local runtime can serve."""
        config = self._config
        for name, value in config.vars.items():
            if isinstance(value, str):
                self._add(name, text=value)
            else:
                self._add(name, json=json.dumps(value))
        for name, secret in config.secrets.items():
            self.bindings.append({"name": name, "text": secret})
        for producer in config.producers:
            self._add(producer.binding, queue=self.service("queue", producer.queue))
        for namespace in config.kv_namespaces:
            self._add(namespace.binding, kvNamespace=self.service("kv", namespace.id))
        for bucket in config.r2_buckets:
            self._add(bucket.binding, r2Bucket=self.service("r2", bucket.bucket_name))
        for database in config.d1_databases:
            fetcher = {"name": "fetcher", "service": self.service("d1", database.database_id)}
            self._wrap(database.binding, "cloudflare-internal:d1-api", fetcher)
        for objects in config.durable_objects:
            self._durable(objects.name, objects.class_name, objects.script_name)
        for workflow in config.workflows:
            fetcher = {"name": "wpy", "service": self.service("workflow", workflow.binding)}
            self._wrap(workflow.binding, _WORKFLOW, fetcher)
        for service in config.services:
            self._service(service)
        if config.assets is not None and config.assets.binding is not None:
            self._add(config.assets.binding, service=self.service("assets", config.name, whole_url=True))
        self._add_small()

    def _add_small(self) -> None:
        config = self._config
        for rate in config.ratelimits:
            numbers = ({"name": "limit", "json": str(rate.limit)}, {"name": "period", "json": str(rate.period)})
            self._small(rate.name, "ratelimit", *numbers)
        for dataset in config.analytics_engine_datasets:
            self._small(dataset.binding, "analytics")
        for secret in config.secrets_store_secrets:
            self._small(secret.binding, "secret")
        for email in config.send_email:
            self._small(email.name, "email")
        for hyperdrive in config.hyperdrive:
            self._hyperdrive(hyperdrive)
        if config.version_metadata is not None:
            # Every load is a version of its own, as every deployment is.
            now = datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC).isoformat(timespec="milliseconds")
            metadata = {"id": str(uuid.uuid4()), "tag": "", "timestamp": now.replace("+00:00", "Z")}
            self._add(config.version_metadata, json=json.dumps(metadata))

    def _hyperdrive(self, binding: Hyperdrive) -> None:
        """A connection straight to the database."""
        url = urlsplit(binding.local_connection_string or "")
        if not url.hostname:
            return
        port = url.port or {"mysql": 3306}.get(url.scheme, 5432)
        name = f"wpy:{self._config.name}:hyperdrive/{binding.binding}"
        self.services[name] = {"name": name, "external": {"address": f"{url.hostname}:{port}", "tcp": {}}}
        account = {
            "designator": name,
            "database": unquote(url.path.removeprefix("/")),
            "user": unquote(url.username or ""),
            "password": unquote(url.password or ""),
            "scheme": url.scheme,
        }
        self._add(binding.binding, hyperdrive=account)

    def _small(self, name: str, kind: str, *more: dict[str, Any]) -> None:
        fetcher = {"name": "wpy", "service": self.service("small", name)}
        self._wrap(name, _SMALL, {"name": "kind", "text": kind}, fetcher, *more)

    def _wrap(self, name: str, module: str, *inner: dict[str, Any]) -> None:
        self._add(name, wrapped={"moduleName": module, "innerBindings": list(inner)})

    def _durable(self, name: str, class_name: str, script: str | None) -> None:
        if script in (None, self._config.name):
            self._add(name, durableObjectNamespace=class_name)
        elif script in self._names:
            self._add(name, durableObjectNamespace={"className": class_name, "serviceName": f"user:{script}"})

    def _service(self, binding: ServiceBinding) -> None:
        if binding.service not in self._names:  # a Python Worker, or one that this session does not have
            self._add(binding.binding, service=self._elsewhere(binding))
            return
        designator: dict[str, Any] = {"name": f"user:{binding.service}", "entrypoint": binding.entrypoint}
        if binding.props:
            designator["props"] = {"json": json.dumps(dict(binding.props))}
        self._add(binding.binding, service=designator)

    def _elsewhere(self, binding: ServiceBinding) -> str:
        """A Worker of wpy's own (shim/python.js) that stands for one outside of this workerd."""
        props = quote(json.dumps(dict(binding.props)), safe="") if binding.props else ""
        resource = f"{binding.service}/{binding.entrypoint or ''}/{props}"
        bindings = [
            {"name": "WPY_FETCH", "service": self.service("service", resource, whole_url=True)},
            {"name": "WPY_RPC", "service": self.service("rpc", resource)},
        ]
        worker = {
            "modules": [
                {"name": "wpy-python.js", "esModule": Embed("python.js")},
                {"name": "wpy-rpc.js", "esModule": Embed("rpc.js")},
            ],
            "compatibilityDate": _SHIM_DATE,
            "bindings": bindings,
        }
        name = f"wpy:{self._config.name}:elsewhere/{resource}"
        self.services[name] = {"name": name, "worker": worker}
        return name
