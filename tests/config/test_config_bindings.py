"""Bindings that wpy cannot serve are named, never silently missing; every field wrangler knows has its place."""

import pytest
from config_project import Project

from wrangler_py.config import keys
from wrangler_py.config.bindings import KINDS
from wrangler_py.config.model import UnsupportedBinding

# field, TOML, kind in wrangler's words, name in env, where
BINDINGS = [
    ("kv_namespaces", '[[kv_namespaces]]\nbinding = "B"\nid = "x"\n', "KV Namespace", "kv_namespaces[0]"),
    ("r2_buckets", '[[r2_buckets]]\nbinding = "B"\nbucket_name = "xxx"\n', "R2 Bucket", "r2_buckets[0]"),
    ("d1_databases", '[[d1_databases]]\nbinding = "B"\n', "D1 Database", "d1_databases[0]"),
    (
        "durable_objects",
        '[[durable_objects.bindings]]\nname = "B"\nclass_name = "C"\nscript_name = "s"\n',
        "Durable Object",
        "durable_objects.bindings[0]",
    ),
    ("services", '[[services]]\nbinding = "B"\nservice = "x"\n', "Worker", "services[0]"),
    ("workflows", '[[workflows]]\nbinding = "B"\nname = "w"\nclass_name = "W"\n', "Workflow", "workflows[0]"),
    ("ai", '[ai]\nbinding = "B"\n', "AI", "ai"),
    ("browser", '[browser]\nbinding = "B"\n', "Browser Run", "browser"),
    ("images", '[images]\nbinding = "B"\n', "Images", "images"),
    ("media", '[media]\nbinding = "B"\n', "Media", "media"),
    ("stream", '[stream]\nbinding = "B"\n', "Stream", "stream"),
    ("vectorize", '[[vectorize]]\nbinding = "B"\n', "Vectorize Index", "vectorize[0]"),
    ("ai_search", '[[ai_search]]\nbinding = "B"\n', "AI Search Instance", "ai_search[0]"),
    (
        "ai_search_namespaces",
        '[[ai_search_namespaces]]\nbinding = "B"\n',
        "AI Search Namespace",
        "ai_search_namespaces[0]",
    ),
    ("hyperdrive", '[[hyperdrive]]\nbinding = "B"\nid = "h"\n', "Hyperdrive Config", "hyperdrive[0]"),
    (
        "analytics_engine_datasets",
        '[[analytics_engine_datasets]]\nbinding = "B"\n',
        "Analytics Engine Dataset",
        "analytics_engine_datasets[0]",
    ),
    (
        "dispatch_namespaces",
        '[[dispatch_namespaces]]\nbinding = "B"\n',
        "Dispatch Namespace",
        "dispatch_namespaces[0]",
    ),
    ("mtls_certificates", '[[mtls_certificates]]\nbinding = "B"\n', "mTLS Certificate", "mtls_certificates[0]"),
    ("send_email", '[[send_email]]\nname = "B"\n', "Send Email", "send_email[0]"),
    ("pipelines", '[[pipelines]]\nbinding = "B"\n', "Pipeline", "pipelines[0]"),
    (
        "secrets_store_secrets",
        '[[secrets_store_secrets]]\nbinding = "B"\nstore_id = "s"\nsecret_name = "n"\n',
        "Secrets Store Secret",
        "secrets_store_secrets[0]",
    ),
    (
        "ratelimits",
        '[[ratelimits]]\nname = "B"\nnamespace_id = "1"\nsimple = { limit = 1, period = 10 }\n',
        "Rate Limit",
        "ratelimits[0]",
    ),
    ("version_metadata", '[version_metadata]\nbinding = "B"\n', "Worker Version Metadata", "version_metadata"),
    ("worker_loaders", '[[worker_loaders]]\nbinding = "B"\n', "Worker Loader", "worker_loaders[0]"),
    ("vpc_services", '[[vpc_services]]\nbinding = "B"\n', "VPC Service", "vpc_services[0]"),
    ("vpc_networks", '[[vpc_networks]]\nbinding = "B"\n', "VPC Network", "vpc_networks[0]"),
    ("artifacts", '[[artifacts]]\nbinding = "B"\n', "Artifacts", "artifacts[0]"),
    ("flagship", '[[flagship]]\nbinding = "B"\n', "Flagship", "flagship[0]"),
    ("unsafe", '[[unsafe.bindings]]\nname = "B"\ntype = "x"\n', "Unsafe Metadata", "unsafe.bindings[0]"),
    ("unsafe_hello_world", '[[unsafe_hello_world]]\nbinding = "B"\n', "Hello World", "unsafe_hello_world[0]"),
    ("logfwdr", '[[logfwdr.bindings]]\nname = "B"\n', "logfwdr", "logfwdr.bindings[0]"),
    ("assets", '[assets]\ndirectory = "x"\nbinding = "B"\n', "Assets", "assets"),
    ("wasm_modules", '[wasm_modules]\nB = "b.wasm"\n', "Wasm Module", "wasm_modules.B"),
    ("text_blobs", '[text_blobs]\nB = "b.txt"\n', "Text Blob", "text_blobs.B"),
    ("data_blobs", '[data_blobs]\nB = "b.bin"\n', "Data Blob", "data_blobs.B"),
    ("tail_consumers", '[[tail_consumers]]\nservice = "B"\n', "Tail Consumer", "tail_consumers[0]"),
    (
        "streaming_tail_consumers",
        '[[streaming_tail_consumers]]\nservice = "B"\n',
        "Streaming Tail Consumer",
        "streaming_tail_consumers[0]",
    ),
    ("containers", '[[containers]]\nclass_name = "B"\nimage = "./Dockerfile"\n', "Container", "containers[0]"),
]


@pytest.mark.parametrize(("field", "toml", "kind", "where"), BINDINGS, ids=[b[0] for b in BINDINGS])
def test_a_binding_that_is_not_served_is_named_in_one_warning(
    project: Project, field: str, toml: str, kind: str, where: str
):
    project.toml(toml)
    session = project.load()
    if "python" in KINDS[field].served:
        assert session.workers[0].unsupported == ()
        assert "using env.B is an error" not in "".join(warning.text for warning in session.warnings)
        return
    assert session.workers[0].unsupported == (UnsupportedBinding(kind, "B", where, KINDS[field].in_env),)
    [warning] = session.warnings
    assert warning.field == where
    assert f'the {kind} "B"' in warning.text
    assert ("using env.B is an error" in warning.text) == KINDS[field].in_env


def test_every_kind_is_in_the_table_above():
    assert {b[0] for b in BINDINGS} == set(KINDS)
    assert set(KINDS) == {*keys.BINDINGS, *keys.BINDINGS_TOP_LEVEL_ONLY}


def test_assets_without_a_binding(project: Project):
    project.toml('[assets]\ndirectory = "./public"\n')
    (problem,) = project.load().warnings
    assert problem.text.startswith(
        'The directory specified by the "assets.directory" field in your configuration file does not'
    )
    assert "build the site first" in (problem.hint or "")
    (project.root / "public").mkdir()
    session = project.load()
    assert session.workers[0].assets is not None and not session.warnings


@pytest.mark.parametrize(
    "toml", ["kv_namespaces = []\n", "ai = {}\n", "[durable_objects]\nbindings = []\n", "[vars]\n"]
)
def test_none_of_a_kind_is_nothing_to_speak_of(project: Project, toml: str):
    project.toml(toml)
    assert project.worker().unsupported == ()


@pytest.mark.parametrize(
    ("toml", "text"),
    [
        ("kv_namespaces = 5\n", 'The field "kv_namespaces" should be an array but got 5.'),
        ("[kv_namespaces]\nbinding = 'X'\n", 'The field "kv_namespaces" should be an array but got {"binding":"X"}.'),
        ("durable_objects = []\n", 'The field "durable_objects" should be an object but got [].'),
        ("durable_objects = { bindings = 5 }\n", 'The field "durable_objects.bindings" should be an array but got 5.'),
        ("kv_namespaces = ['x']\n", '"kv_namespaces" bindings should be objects, but got "x"'),
        (
            "[[services]]\nservice = 'x'\n",
            '"services[0]" bindings should have a string "binding" field but got {"service":"x"}.',
        ),
        (
            "[[send_email]]\nbinding = 'x'\n",
            '"send_email[0]" bindings should have a string "name" field but got {"binding":"x"}.',
        ),
    ],
)
def test_wrong_shapes(project: Project, toml: str, text: str):
    project.toml(toml)
    assert project.errors() == [text]


# The fields that wrangler 4.86 accepts at the top level without a word.
WRANGLER_TOP_LEVEL = [
    "$schema",
    "account_id",
    "ai",
    "ai_search",
    "ai_search_namespaces",
    "alias",
    "analytics_engine_datasets",
    "artifacts",
    "assets",
    "base_dir",
    "browser",
    "build",
    "cache",
    "cloudchamber",
    "compatibility_date",
    "compatibility_flags",
    "compliance_region",
    "containers",
    "d1_databases",
    "data_blobs",
    "define",
    "dev",
    "dispatch_namespaces",
    "durable_objects",
    "env",
    "find_additional_modules",
    "first_party_worker",
    "flagship",
    "hyperdrive",
    "images",
    "jsx_factory",
    "jsx_fragment",
    "keep_names",
    "keep_vars",
    "kv_namespaces",
    "legacy_env",
    "limits",
    "logfwdr",
    "logpush",
    "main",
    "media",
    "migrations",
    "minify",
    "mtls_certificates",
    "name",
    "no_bundle",
    "observability",
    "pages_build_output_dir",
    "pipelines",
    "placement",
    "preserve_file_names",
    "preview_urls",
    "previews",
    "python_modules",
    "queues",
    "r2_buckets",
    "ratelimits",
    "route",
    "routes",
    "rules",
    "secrets",
    "secrets_store_secrets",
    "send_email",
    "send_metrics",
    "services",
    "site",
    "stream",
    "streaming_tail_consumers",
    "tail_consumers",
    "text_blobs",
    "triggers",
    "tsconfig",
    "unsafe",
    "unsafe_hello_world",
    "upload_source_maps",
    "vars",
    "vectorize",
    "version_metadata",
    "vpc_networks",
    "vpc_services",
    "wasm_modules",
    "worker_loaders",
    "workers_dev",
    "workflows",
]


def test_the_fields_known_are_wranglers():
    assert sorted(keys.TOP_LEVEL) == sorted(WRANGLER_TOP_LEVEL)
    assert len(set(keys.TOP_LEVEL)) == len(keys.TOP_LEVEL), "each field has one place"
