"""Every kind of binding as a typed value, and wrangler's complaints about the fields of each."""

import pytest
from config_project import Project

from wrangler_py.config.binding_types import (
    AnalyticsEngineDataset,
    Assets,
    D1Database,
    DurableObjectBinding,
    Hyperdrive,
    KvNamespace,
    Migration,
    R2Bucket,
    RateLimit,
    SecretsStoreSecret,
    ServiceBinding,
    Workflow,
)
from wrangler_py.config.model import WorkerConfig

ALL = """
assets = { directory = "public", run_worker_first = ["/api/*"], binding = "ASSETS" }
version_metadata = { binding = "VERSION" }
kv_namespaces = [{ binding = "K1" }, { binding = "K2", id = "a" }, { binding = "K3", id = "a", preview_id = "p" }]
r2_buckets = [{ binding = "R1" }, { binding = "R2", bucket_name = "one", jurisdiction = "eu" }]
d1_databases = [
  { binding = "D1" },
  { binding = "D2", database_name = "app", database_id = "i", migrations_dir = "m", migrations_table = "t" },
  { binding = "D3", database_id = "i", preview_database_id = "p" },
]
durable_objects.bindings = [{ name = "O1", class_name = "C" }, { name = "O2", class_name = "C", script_name = "s" }]
migrations = [
  { tag = "v1", new_sqlite_classes = ["B"], new_classes = ["X"] },
  { tag = "v2", renamed_classes = [{ from = "B", to = "C" }], deleted_classes = ["X"] },
  { tag = "v3", transferred_classes = [{ from = "T", from_script = "s", to = "U" }] },
]
workflows = [{ binding = "W1", name = "w", class_name = "W", limits = { steps = 5 } }]
services = [{ binding = "S1", service = "other", entrypoint = "E", props = { a = 1 } }]
ratelimits = [{ name = "L1", namespace_id = "1", simple = { limit = 3, period = 60 } }]
analytics_engine_datasets = [{ binding = "A1" }, { binding = "A2", dataset = "d" }]
hyperdrive = [{ binding = "H1", id = "h", localConnectionString = "postgres://file" }, { binding = "H2", id = "h" }]
secrets_store_secrets = [{ binding = "T1", store_id = "s", secret_name = "n" }]
"""


def test_typed_values(project: Project):
    project.toml(ALL)
    environ = {"CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_H2": "postgres://env"}
    worker: WorkerConfig = project.load(environ=environ).workers[0]
    assert worker.assets == Assets(project.root / "public", "ASSETS", run_worker_first=("/api/*",))
    assert worker.version_metadata == "VERSION"
    # An id: the preview's, else its own, else the name of the binding (wrangler 4.86, `dev`).
    assert worker.kv_namespaces == (KvNamespace("K1", "K1"), KvNamespace("K2", "a"), KvNamespace("K3", "p"))
    assert worker.r2_buckets == (R2Bucket("R1", "R1"), R2Bucket("R2", "one", "eu"))
    assert worker.d1_databases == (
        D1Database("D1", "D1", "D1"),
        D1Database("D2", "i", "app", "m", "t"),
        D1Database("D3", "p", "D3"),
    )
    assert worker.durable_objects == (DurableObjectBinding("O1", "C"), DurableObjectBinding("O2", "C", "s"))
    assert worker.migrations == (
        Migration("v1", new_classes=("X",), new_sqlite_classes=("B",)),
        Migration("v2", renamed_classes=(("B", "C"),), deleted_classes=("X",)),
        Migration("v3", transferred_classes=(("T", "s", "U"),)),
    )
    assert worker.workflows == (Workflow("W1", "w", "W", step_limit=5),)
    assert worker.services == (ServiceBinding("S1", "other", "E", {"a": 1}),)
    assert worker.ratelimits == (RateLimit("L1", "1", 3, 60),)
    assert worker.analytics_engine_datasets == (AnalyticsEngineDataset("A1", "A1"), AnalyticsEngineDataset("A2", "d"))
    assert worker.hyperdrive == (Hyperdrive("H1", "h", "postgres://file"), Hyperdrive("H2", "h", "postgres://env"))
    assert worker.secrets_store_secrets == (SecretsStoreSecret("T1", "s", "n"),)


def test_an_environment_has_its_own_bindings_and_inherits_migrations_and_assets(project: Project):
    project.toml(
        'assets = { directory = "public" }\nkv_namespaces = [{ binding = "K" }]\n'
        'migrations = [{ tag = "v1", new_classes = ["C"] }]\n'
        '[env.staging]\nkv_namespaces = [{ binding = "OTHER" }]\n'
    )
    session = project.load(env="staging")
    worker = session.workers[0]
    assert worker.kv_namespaces == (KvNamespace("OTHER", "OTHER"),)
    assert worker.migrations == (Migration("v1", new_classes=("C",)),)
    assert worker.assets == Assets(project.root / "public")
    assert 'There is a kv_namespaces binding with name "K" at the top level' in "".join(
        w.text for w in session.warnings
    )


def test_objects_without_migrations_are_doubtful(project: Project):
    project.toml('durable_objects.bindings = [{ name = "O", class_name = "C" }]\n')
    [warning] = [w for w in project.load().warnings if "migrations" in w.text]
    assert "exported by this Worker (C), but no `migrations` for them" in warning.text
    assert (warning.field, warning.line) == ("durable_objects", 5)
    assert warning.hint == 'add [[migrations]] with tag = "v1" and new_sqlite_classes = ["C"]'


# The body, and wrangler 4.86's text (without the heading that it has for some).
FAULTY = [
    (
        'kv_namespaces = [{ binding = "K", id = "" }]',
        'should have a string "id" field but got {"binding":"K","id":""}.',
    ),
    ('kv_namespaces = [{ binding = "K", remote = 1 }]', 'should, optionally, have a boolean "remote" field but got'),
    (
        'r2_buckets = [{ binding = "R", bucket_name = "No_Name" }]',
        'r2_buckets[0].bucket_name="No_Name" is invalid. Bucket names must begin and end with an alphanumeric',
    ),
    (
        'd1_databases = [{ binding = "D", database_id = 5 }]',
        '"d1_databases[0]" bindings must have a "database_id" field',
    ),
    ('durable_objects.bindings = [{ name = "O" }]', 'should have a string "class_name" field'),
    (
        'migrations = [{ tag = "v1" }]\n'
        'durable_objects.bindings = [{ name = "O", class_name = "C", environment = "e" }]',
        'binding should have a "script_name" field if "environment" is present.',
    ),
    (
        'workflows = [{ binding = "W", name = "a b", class_name = "C" }]',
        '"workflows[0]" binding "name" field is invalid. Workflow names must be 1-64 characters long',
    ),
    (
        'workflows = [{ binding = "W", name = "w", class_name = "C", limits = { steps = 0 } }]',
        '"workflows[0]" bindings "limits.steps" field must be a positive integer but got 0.',
    ),
    (
        'workflows = [{ binding = "V", name = "w", class_name = "C" }, { binding = "W", name = "w", class_name = "C" }]',
        '"workflows" bindings must have unique "name" values; duplicate(s) found: "w"',
    ),
    ('services = [{ binding = "S" }]', '"services[0]" bindings should have a string "service" field but got'),
    ('hyperdrive = [{ binding = "H" }]', '"hyperdrive[0]" bindings must have a "id" field but got {"binding":"H"}.'),
    ('ratelimits = [{ name = "L", namespace_id = "1" }]', 'must have a "simple" configuration object but got'),
    (
        'ratelimits = [{ name = "L", namespace_id = "1", simple = { limit = 1, period = 30 } }]',
        '"ratelimits[0]" bindings "simple.period" must be either 10 or 60 but got 30.',
    ),
    ("assets = { directory = 5 }", 'Expected "assets.directory" to be of type string but got 5.'),
    (
        'assets = { directory = "p", html_handling = "x" }',
        'Expected "assets.html_handling" field to be one of ["auto-trailing-slash","force-trailing-slash",'
        '"drop-trailing-slash","none"] but got "x".',
    ),
    (
        'assets = { directory = "p", run_worker_first = 1 }',
        'The field "assets.run_worker_first" should be an array of strings or a boolean, but got 1.',
    ),
    ("migrations = [{ }]", '"migrations[0].tag" is a required field.'),
    (
        'migrations = [{ tag = "v1", renamed_classes = ["A"] }]',
        'Expected "migrations[0].renamed_classes" to be an array of "{from: string, to: string}" objects but got ["A"].',
    ),
]


@pytest.mark.parametrize(("body", "text"), FAULTY, ids=range(len(FAULTY)))
def test_faulty_entries(project: Project, body: str, text: str):
    project.toml(body + "\n")
    [error] = [p for p in project.problems() if p.severity == "error"]
    assert text in error.text
    assert error.line is not None and error.line >= 5


def test_unknown_fields_of_an_entry(project: Project):
    project.toml('kv_namespaces = [{ binding = "K", preview = "x" }]\n')
    [warning] = [w for w in project.load().warnings if "Unexpected" in w.text]
    assert warning.text == 'Unexpected fields found in kv_namespaces[0] field: "preview"'
    assert warning.hint == 'did you mean "preview_id"?'
