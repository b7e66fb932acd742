"""Every field that wrangler knows (4.86), and what wpy does with it.

A field is read, or names a binding, or is one of those that a local run has no use for, or
belongs to bundling. What stands in none of these lists is unexpected.
"""

from __future__ import annotations

from wrangler_py.config.jsvalues import JsType

# What wpy reads. `wrangler.toml.example` explains each of these; a test holds it to that.

#: A named environment has the top level's value unless it sets its own.
INHERITED = ("name", "main", "compatibility_date", "compatibility_flags", "triggers", "migrations", "build")
#: A named environment has only its own.
NOT_INHERITED = ("vars", "secrets", "queues")
TOP_LEVEL_ONLY = ("env", "dev", "legacy_env")

TRIGGERS = ("crons",)
QUEUES = ("producers", "consumers")
PRODUCER = ("binding", "queue", "delivery_delay", "remote")
CONSUMER = (
    "queue",
    "type",
    "max_batch_size",
    "max_batch_timeout",
    "max_retries",
    "dead_letter_queue",
    "max_concurrency",
    "visibility_timeout_ms",
    "retry_delay",
)
SECRETS = ("required",)
BUILD = ("command", "cwd", "watch_dir")
DEV = ("ip", "port")
#: Known to wrangler, of no consequence here.
DEV_UNUSED = ("inspector_port", "inspector_ip", "enable_containers", "container_engine", "generate_types")
#: Would change how wrangler listens; wpy says that it does not.
DEV_UNSERVED = ("local_protocol", "upstream_protocol", "host")

# Bindings: see bindings.py for their shapes.

BINDINGS = (
    "kv_namespaces",
    "durable_objects",
    "r2_buckets",
    "d1_databases",
    "services",
    "workflows",
    "ai",
    "browser",
    "images",
    "media",
    "stream",
    "vectorize",
    "ai_search",
    "ai_search_namespaces",
    "hyperdrive",
    "analytics_engine_datasets",
    "dispatch_namespaces",
    "mtls_certificates",
    "send_email",
    "pipelines",
    "secrets_store_secrets",
    "ratelimits",
    "version_metadata",
    "worker_loaders",
    "vpc_services",
    "vpc_networks",
    "artifacts",
    "flagship",
    "unsafe",
    "unsafe_hello_world",
    "logfwdr",
    "assets",
    "tail_consumers",
    "streaming_tail_consumers",
    "containers",
)
BINDINGS_INHERITED = ("logfwdr", "assets")
BINDINGS_TOP_LEVEL_ONLY = ("wasm_modules", "text_blobs", "data_blobs")

# Nothing to do with a local run.

DEPLOY = (
    "account_id",
    "route",
    "routes",
    "workers_dev",
    "preview_urls",
    "previews",
    "limits",
    "placement",
    "observability",
    "logpush",
    "upload_source_maps",
    "first_party_worker",
    "compliance_region",
    "cache",
    "python_modules",
    "cloudchamber",
)
DEPLOY_TOP_LEVEL_ONLY = ("$schema", "keep_vars", "send_metrics", "site", "pages_build_output_dir")

#: How JavaScript is bundled; a Python worker has no use for them.
BUNDLING = (
    "define",
    "rules",
    "tsconfig",
    "jsx_factory",
    "jsx_fragment",
    "no_bundle",
    "find_additional_modules",
    "preserve_file_names",
    "base_dir",
    "minify",
    "keep_names",
)
BUNDLING_TOP_LEVEL_ONLY = ("alias",)


#: Fields of a named environment.
ENVIRONMENT = (*INHERITED, *NOT_INHERITED, *BINDINGS, *DEPLOY, *BUNDLING)
#: Fields of the top level.
TOP_LEVEL = (
    *ENVIRONMENT,
    *TOP_LEVEL_ONLY,
    *BINDINGS_TOP_LEVEL_ONLY,
    *DEPLOY_TOP_LEVEL_ONLY,
    *BUNDLING_TOP_LEVEL_ONLY,
)

#: What a named environment does not take over from the top level, in wrangler's order of complaint.
NEVER_INHERITED = (
    *NOT_INHERITED,
    "define",
    "cloudchamber",
    *(key for key in BINDINGS if key not in BINDINGS_INHERITED),
)

#: Fields of one plain type that wrangler checks and wpy otherwise leaves alone.
PLAIN_TYPES: dict[str, JsType] = {
    "account_id": "string",
    "workers_dev": "boolean",
    "preview_urls": "boolean",
    "tsconfig": "string",
    "jsx_factory": "string",
    "jsx_fragment": "string",
    "no_bundle": "boolean",
    "find_additional_modules": "boolean",
    "preserve_file_names": "boolean",
    "base_dir": "string",
    "minify": "boolean",
    "keep_names": "boolean",
    "first_party_worker": "boolean",
    "logpush": "boolean",
    "upload_source_maps": "boolean",
    "legacy_env": "boolean",
    "send_metrics": "boolean",
    "keep_vars": "boolean",
    "pages_build_output_dir": "string",
    "$schema": "string",
}

#: Gone since wrangler 4; refused with its advice.
REMOVED = ("node_compat",)

#: Fields that people look for at the wrong place.
MISPLACED = {
    "crons": "triggers.crons",
    "cron": "triggers.crons",
    "producers": "queues.producers",
    "consumers": "queues.consumers",
    "port": "dev.port",
    "ip": "dev.ip",
}
