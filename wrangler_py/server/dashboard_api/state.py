"""What stands behind the bindings: KV, D1, R2, Durable Objects, workflows; to look at, and the simple changes."""

from __future__ import annotations

import base64
import binascii
import shlex
from collections.abc import Mapping
from typing import Any

from wrangler_py.server.control import CallError
from wrangler_py.server.dashboard_api import schemas
from wrangler_py.server.dashboard_api.also import also, command
from wrangler_py.server.dashboard_api.call import CURSOR, LIMIT, Call, Parameter, Routes

ROUTES = Routes("State")

#: A value that is written may have this many bytes; larger ones go by the command line.
MOST_WRITTEN = 700_000

_BINDINGS = schemas.array(schemas.record(worker=schemas.TEXT, binding=schemas.TEXT))
_NEXT = schemas.nullable(schemas.TEXT)
_CELL = schemas.record(
    ("bytes", "chars"),
    type={"enum": ["null", "integer", "real", "text", "blob"]},
    text=schemas.TEXT,
    bytes=schemas.INTEGER,
    chars=schemas.INTEGER,
)
_ROWS = {"columns": schemas.array(schemas.TEXT), "rows": schemas.array(schemas.array(_CELL))}
_TABLE = schemas.record(
    name=schemas.TEXT,
    kind={"enum": ["table", "view"]},
    sql=schemas.nullable(schemas.TEXT),
    rows=schemas.INTEGER,
    columns=schemas.array(schemas.record(name=schemas.TEXT, type=schemas.TEXT, key=schemas.BOOLEAN)),
)
_VALUE = {
    "text": schemas.nullable(schemas.TEXT),
    "base64": schemas.nullable(schemas.TEXT),
    "size": schemas.INTEGER,
    "truncated": schemas.BOOLEAN,
}
_KV_FACTS = {"expirationMs": schemas.nullable(schemas.MS), "metadata": schemas.nullable(schemas.TEXT)}
_R2_FACTS = {
    "key": schemas.TEXT,
    "size": schemas.INTEGER,
    "etag": schemas.TEXT,
    "uploadedMs": schemas.MS,
    "contentType": schemas.nullable(schemas.TEXT),
}
_NAMESPACE = Parameter("namespace", "The id of the KV namespace")
_DATABASE = Parameter("database", "The id of the D1 database")
_BUCKET = Parameter("bucket", "The name of the R2 bucket")
_KEY = Parameter("key")
_PREFIX = Parameter("prefix", "Only keys that begin so")
_CLASS = (Parameter("worker", "The worker that has the class"), Parameter("class", "The class"))
_TABLE_NAME = Parameter("table")
_OBJECT = Parameter("id", "Of the object, 64 hexadecimal digits")


def _named(call: Call, name: str, given: Mapping[str, Any] | None = None) -> str:
    value = (call.query if given is None else given).get(name)
    if not isinstance(value, str) or not value:
        raise CallError(f"Say which one is meant, by `{name}`.")
    return value


def _offset(call: Call) -> int:
    return call.number("cursor", 0) or 0


# Reading --------------------------------------------------------------------------------------------------------------


@ROUTES.get(
    "state",
    "Every KV namespace, D1 database, R2 bucket, Durable Object class and workflow of the config, and how much is in it",
    schemas.record(
        kv=schemas.array(schemas.record(id=schemas.TEXT, bindings=_BINDINGS, keys=schemas.INTEGER)),
        d1=schemas.array(
            schemas.record(
                id=schemas.TEXT, name=schemas.TEXT, bindings=_BINDINGS, tables=schemas.INTEGER, bytes=schemas.INTEGER
            )
        ),
        r2=schemas.array(
            schemas.record(bucket=schemas.TEXT, bindings=_BINDINGS, objects=schemas.INTEGER, bytes=schemas.INTEGER)
        ),
        objects=schemas.array(
            schemas.record(
                **{"worker": schemas.TEXT, "class": schemas.TEXT, "bindings": _BINDINGS, "objects": schemas.INTEGER}
            )
        ),
        workflows=schemas.array(
            schemas.record(
                name=schemas.TEXT,
                script_name=schemas.nullable(schemas.TEXT),
                class_name=schemas.nullable(schemas.TEXT),
                created_on=schemas.nullable(schemas.TEXT),
                instances={"type": "object", "additionalProperties": schemas.INTEGER},
            )
        ),
    ),
)
async def state(call: Call) -> dict[str, Any]:
    return {**await call.session.state.overview(), **await call.session.controls["GET workflows"]({})}


@ROUTES.get(
    "state/kv/keys",
    "Keys of a KV namespace, in order",
    schemas.record(keys=schemas.array(schemas.record(name=schemas.TEXT, **_KV_FACTS)), cursor=_NEXT),
    (_NAMESPACE, _PREFIX, CURSOR, LIMIT),
)
async def kv_keys(call: Call) -> dict[str, Any]:
    prefix, cursor = call.query.get("prefix", ""), call.query.get("cursor") or None
    return await call.session.state.kv_keys(_named(call, "namespace"), prefix, cursor, call.limit())


@ROUTES.get(
    "state/kv/value",
    "What stands under a key: `text`, or `base64` when it is no UTF-8; of a long one the beginning",
    schemas.record(key=schemas.TEXT, **_KV_FACTS, **_VALUE),
    (_NAMESPACE, _KEY),
)
async def kv_value(call: Call) -> dict[str, Any]:
    return await call.session.state.kv_value(_named(call, "namespace"), _named(call, "key"))


@ROUTES.get(
    "state/d1/tables",
    "Tables and views of a D1 database; rows are counted up to 100,000, 100,001 says that there are more",
    schemas.record(name=schemas.TEXT, tables=schemas.array(_TABLE), bytes=schemas.INTEGER),
    (_DATABASE,),
)
async def d1_tables(call: Call) -> dict[str, Any]:
    return await call.session.state.d1_tables(_named(call, "database"))


@ROUTES.get(
    "state/d1/rows",
    "Rows of a table, as SQLite has them",
    schemas.record(**_ROWS, cursor=_NEXT),
    (_DATABASE, _TABLE_NAME, CURSOR, LIMIT),
)
async def d1_rows(call: Call) -> dict[str, Any]:
    database, table = _named(call, "database"), _named(call, "table")
    return await call.session.state.d1_rows(database, table, _offset(call), call.limit())


@ROUTES.get(
    "state/r2/objects",
    "Objects of an R2 bucket, in the order of their keys; with `folders=1` keys up to the next `/` are summed up",
    schemas.record(
        objects=schemas.array(schemas.record(**_R2_FACTS)), folders=schemas.array(schemas.TEXT), cursor=_NEXT
    ),
    (_BUCKET, _PREFIX, Parameter("folders", "1: keys up to the next / are summed up"), CURSOR, LIMIT),
)
async def r2_objects(call: Call) -> dict[str, Any]:
    prefix, folders = call.query.get("prefix", ""), call.query.get("folders") == "1"
    cursor = call.query.get("cursor") or None
    return await call.session.state.r2_objects(_named(call, "bucket"), prefix, folders, cursor, call.limit())


@ROUTES.get(
    "state/r2/object",
    "An R2 object with the beginning of its body",
    schemas.record(**{**_R2_FACTS, **_VALUE}, customMetadata={"type": "object"}),
    (_BUCKET, _KEY),
)
async def r2_object(call: Call) -> dict[str, Any]:
    return await call.session.state.r2_object(_named(call, "bucket"), _named(call, "key"))


@ROUTES.get(
    "state/objects",
    "The Durable Objects of a class that have stored something; `q`: the beginning of an id, or a whole name",
    schemas.record(
        objects=schemas.array(
            schemas.record(id=schemas.TEXT, name=schemas.nullable(schemas.TEXT), bytes=schemas.INTEGER)
        ),
        total=schemas.INTEGER,
        cursor=_NEXT,
    ),
    (*_CLASS, Parameter("q", "The beginning of an id, or a name that `idFromName` was given"), CURSOR, LIMIT),
)
async def objects(call: Call) -> dict[str, Any]:
    worker, name = _named(call, "worker"), _named(call, "class")
    found = await call.session.state.objects.listed(worker, name, call.query.get("q", ""), _offset(call), call.limit())
    alarms = await call.session.controls["GET durable-objects/alarms"]({})
    names = {alarm["id"]: alarm["name"] for alarm in alarms["alarms"]}
    for one in found["objects"]:
        one["name"] = one["name"] or names.get(one["id"])
    return found


@ROUTES.get(
    "state/object",
    "What a Durable Object has stored: keys (their values as JSON text), tables, alarm",
    schemas.record(
        id=schemas.TEXT,
        keys=schemas.array(schemas.record(key=schemas.TEXT, text=schemas.TEXT, bytes=schemas.INTEGER)),
        moreKeys=schemas.BOOLEAN,
        alarmMs=schemas.nullable(schemas.MS),
        tables=schemas.array(_TABLE),
    ),
    (*_CLASS, _OBJECT),
)
async def one_object(call: Call) -> dict[str, Any]:
    return await call.session.state.objects.one(_named(call, "worker"), _named(call, "class"), _named(call, "id"))


@ROUTES.get(
    "state/object/rows",
    "Rows of a table of a Durable Object",
    schemas.record(**_ROWS, cursor=_NEXT),
    (*_CLASS, _OBJECT, _TABLE_NAME, CURSOR, LIMIT),
)
async def object_rows(call: Call) -> dict[str, Any]:
    worker, name, one = _named(call, "worker"), _named(call, "class"), _named(call, "id")
    table = _named(call, "table")
    return await call.session.state.objects.rows(worker, name, one, table, _offset(call), call.limit())


@ROUTES.get(
    "state/workflows/instances",
    "Instances of a workflow, newest first, in the form of Cloudflare's API",
    schemas.record(instances=schemas.array({"type": "object"})),
    (Parameter("workflow"),),
)
async def instances(call: Call) -> dict[str, Any]:
    found: dict[str, Any] = await call.session.controls["POST workflows/instances"](
        {"workflow": _named(call, "workflow")}
    )
    return found


@ROUTES.get(
    "state/workflows/instance",
    "An instance of a workflow with its steps and their attempts, in the form of Cloudflare's API",
    {"type": "object"},
    (Parameter("workflow"), Parameter("id", "Of the instance")),
)
async def instance(call: Call) -> dict[str, Any]:
    given = {"workflow": _named(call, "workflow"), "id": _named(call, "id")}
    found: dict[str, Any] = await call.session.controls["POST workflows/instance"](given)
    return found


# Changing -------------------------------------------------------------------------------------------------------------


def _binding(call: Call, kind: str, field: str, name: str) -> str:
    """What the first worker that has it calls a resource."""
    for worker in call.session.config().workers:
        for entry in getattr(worker, kind):
            if getattr(entry, field) == name:
                return str(entry.binding)
    return "BINDING"


def _written(call: Call) -> bytes:
    text, encoded = call.text("text"), call.text("base64")
    if (text is None) == (encoded is None):
        raise CallError("Give the value either as `text` or as `base64`.")
    try:
        value = (text or "").encode() if encoded is None else base64.b64decode(encoded, validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise CallError(f"The value cannot be stored: {error}.") from error
    if len(value) > MOST_WRITTEN:
        raise CallError(
            f"A value of more than {MOST_WRITTEN:,} bytes is written on the command line, from a file.", 413
        )
    return value


def _keys(call: Call) -> list[str]:
    keys = call.body.get("keys")
    if not isinstance(keys, list) or not keys or not all(isinstance(key, str) and key for key in keys):
        raise CallError("`keys` must be a list of keys.")
    return keys


def _sent(value: bytes) -> str:
    """A value in a test."""
    try:
        return repr(value.decode())
    except UnicodeDecodeError:
        return repr(value)


@ROUTES.post(
    "state/kv/put",
    "Write a key of a KV namespace",
    schemas.done(),
    schemas.record(
        ("text", "base64", "expirationTtl", "metadata"),
        namespace=schemas.TEXT,
        key=schemas.TEXT,
        text=schemas.TEXT,
        base64=schemas.TEXT,
        expirationTtl=schemas.INTEGER,
        metadata=schemas.TEXT,
    ),
)
async def kv_put(call: Call) -> dict[str, Any]:
    namespace, key, value = _named(call, "namespace", call.body), _named(call, "key", call.body), _written(call)
    ttl, metadata = call.whole("expirationTtl", None, 0, 1 << 40), call.text("metadata")
    more = [
        *(("--ttl", str(ttl)) if ttl is not None else ()),
        *(("--metadata", metadata) if metadata is not None else ()),
    ]
    cli = None
    if call.body.get("base64") is None:
        cli = command("kv", "key", "put", key, value.decode(), "--namespace-id", namespace, *more)
    binding = _binding(call, "kv_namespaces", "id", namespace)
    options = f", expirationTtl={ttl}" if ttl is not None else ""
    lines = also(call, "state/kv/put", call.body, cli, f"await wpy.env.{binding}.put({key!r}, {_sent(value)}{options})")
    if not call.preview:
        await call.session.state.kv_put(namespace, key, value, ttl, metadata)
    return {"ok": True, "also": lines}


_DELETED = schemas.record(keys=schemas.array(schemas.TEXT), namespace=schemas.TEXT)


@ROUTES.post("state/kv/delete", "Delete keys of a KV namespace", schemas.done(), _DELETED)
async def kv_delete(call: Call) -> dict[str, Any]:
    namespace, keys = _named(call, "namespace", call.body), _keys(call)
    binding = _binding(call, "kv_namespaces", "id", namespace)
    cli = "\n".join(command("kv", "key", "delete", key, "--namespace-id", namespace) for key in keys[:5])
    test = "\n".join(f"await wpy.env.{binding}.delete({key!r})" for key in keys[:5])
    lines = also(call, "state/kv/delete", call.body, cli, test)
    if not call.preview:
        await call.session.state.kv_delete(namespace, keys)
    return {"ok": True, "also": lines}


@ROUTES.post(
    "state/d1/query",
    "Run SQL on a D1 database, all of it in one transaction; integers beyond 2^53 are as a Worker sees them",
    schemas.done(
        results=schemas.array(
            schemas.record(**_ROWS, total=schemas.INTEGER, rowsRead=schemas.INTEGER, rowsWritten=schemas.INTEGER)
        )
    ),
    schemas.record(database=schemas.TEXT, sql=schemas.TEXT),
)
async def d1_query(call: Call) -> dict[str, Any]:
    database, sql = _named(call, "database", call.body), _named(call, "sql", call.body)
    name = next(
        (
            d1.database_name
            for w in call.session.config().workers
            for d1 in w.d1_databases
            if d1.database_id == database
        ),
        database,
    )
    binding = _binding(call, "d1_databases", "database_id", database)
    test = f"await wpy.env.{binding}.prepare({sql!r}).all()"
    lines = also(call, "state/d1/query", call.body, command("d1", "execute", name, "--command", sql), test)
    if call.preview:
        return {"ok": True, "also": lines}
    return {"ok": True, "also": lines, **await call.session.state.d1_query(database, sql)}


@ROUTES.post(
    "state/r2/put",
    "Store an R2 object",
    schemas.done(),
    schemas.record(
        ("text", "base64", "contentType"),
        bucket=schemas.TEXT,
        key=schemas.TEXT,
        text=schemas.TEXT,
        base64=schemas.TEXT,
        contentType=schemas.TEXT,
    ),
)
async def r2_put(call: Call) -> dict[str, Any]:
    bucket, key, value = _named(call, "bucket", call.body), _named(call, "key", call.body), _written(call)
    content_type = call.text("contentType")
    cli = None
    if call.body.get("base64") is None:
        kind = ("--content-type", content_type) if content_type else ()
        piped = command("r2", "object", "put", f"{bucket}/{key}", "--pipe", *kind)
        cli = f"printf %s {shlex.quote(value.decode())} | {piped}"
    binding = _binding(call, "r2_buckets", "bucket_name", bucket)
    lines = also(call, "state/r2/put", call.body, cli, f"await wpy.env.{binding}.put({key!r}, {_sent(value)})")
    if not call.preview:
        await call.session.state.r2_put(bucket, key, value, content_type)
    return {"ok": True, "also": lines}


@ROUTES.post(
    "state/r2/delete",
    "Delete R2 objects",
    schemas.done(),
    schemas.record(bucket=schemas.TEXT, keys=schemas.array(schemas.TEXT)),
)
async def r2_delete(call: Call) -> dict[str, Any]:
    bucket, keys = _named(call, "bucket", call.body), _keys(call)
    binding = _binding(call, "r2_buckets", "bucket_name", bucket)
    cli = "\n".join(command("r2", "object", "delete", f"{bucket}/{key}") for key in keys[:5])
    test = "\n".join(f"await wpy.env.{binding}.delete({key!r})" for key in keys[:5])
    lines = also(call, "state/r2/delete", call.body, cli, test)
    if not call.preview:
        await call.session.state.r2_delete(bucket, keys)
    return {"ok": True, "also": lines}
