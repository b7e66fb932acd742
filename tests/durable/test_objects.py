"""Durable Objects: namespaces, stubs, gates, storage, SQL. Expected texts and values are those of workerd 1.20260426.1."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dev_server import DevServer
from session_project import Project

CONFIG = """
    [[durable_objects.bindings]]
    name = "D"
    class_name = "D"
    [[durable_objects.bindings]]
    name = "OLD"
    class_name = "Old"
    [[durable_objects.bindings]]
    name = "BAD"
    class_name = "Bad"
    [[migrations]]
    tag = "v1"
    new_sqlite_classes = ["D", "Bad"]
    new_classes = ["Old"]
"""

CODE = '''
import asyncio, json
from js import Object
from pyodide.ffi import to_js, run_sync
from workers import DurableObject, Response, WorkerEntrypoint
from workers.rpc import _BindingWrapper, _DurableObjectNamespaceWrapper, _FetcherWrapper

broken = True

class Bad(DurableObject):
    def __init__(self, ctx, env):
        super().__init__(ctx, env)
        if broken:
            raise TypeError("ctor boom")
    def hi(self):
        return "hi"

class Old(DurableObject):
    async def put(self, key, value):
        await self.ctx.storage.put(key, value)
    async def sql(self):
        return self.ctx.storage.sql.databaseSize
    async def set_alarm(self):
        await self.ctx.storage.setAlarm(10**13)

class D(DurableObject):
    def __init__(self, ctx, env):
        super().__init__(ctx, env)
        self.loaded = False
        async def load():
            await asyncio.sleep(0.02)
            self.loaded = True
        self.ctx.blockConcurrencyWhile(load)
        self.memory = 0
        self.log = []

    async def ready(self):
        return self.loaded
    async def who(self):
        return [self.ctx.id.name, str(self.ctx.id)]
    async def inc(self):
        value = await self.ctx.storage.get("n") or 0
        await self.ctx.storage.put("n", value + 1)
        self.memory += 1
        return [value + 1, self.memory]
    async def through_exports(self):
        """`ctx.exports` of an object leads to the Worker's own entrypoints."""
        answer = await self.ctx.exports.default.fetch("http://x/", method="POST", body=json.dumps({"do": "who"}))
        return json.loads(await answer.text())
    async def boom(self):
        raise ValueError("boom")
    async def abort(self):
        await self.ctx.storage.put("lost", 1)
        self.ctx.abort("because")
    async def block(self):
        async def fail():
            raise RuntimeError("bcw boom")
        await self.ctx.blockConcurrencyWhile(fail)
    async def call(self, function):
        return await function(20)
    async def slow(self, tag):
        """Others enter while it awaits something that is no storage."""
        self.log.append(f"{tag}>")
        await asyncio.sleep(0.05)
        self.log.append(f"<{tag}")
        return self.log
    async def critical(self, tag):
        async def alone():
            self.log.append(f"{tag}>")
            await asyncio.sleep(0.03)
            self.log.append(f"<{tag}")
        await self.ctx.blockConcurrencyWhile(alone)
        return self.log
    async def two_reads(self):
        """Two reads at once, then a write: nobody may come in between."""
        a, b = await asyncio.gather(self.ctx.storage.get("a"), self.ctx.storage.get("b"))
        total = (a or 0) + (b or 0) + 1
        await self.ctx.storage.put("a", total)
        return total
    async def sync_read(self):
        return run_sync(self.ctx.storage.get("a"))
    def _private(self):
        return 1
    async def fetch(self, request):
        if request.url.endswith("/throw"):
            raise ValueError("fetch boom")
        if request.url.endswith("/other"):
            return 5
        return Response(f"{request.method} {request.url} {await request.text()}", headers={"x-object": str(self.ctx.id)})
    async def storage(self, operation, *args):
        result = getattr(self.ctx.storage, operation)(*args)
        result = await result
        return result
    async def listed(self, options=None):
        return [list(item) for item in (await self.ctx.storage.list(**(options or {}))).items()]
    async def kv(self):
        kv = self.ctx.storage.kv
        kv.put("x", {"a": [1]})
        return [kv.get("x"), kv.get("none"), [list(p) for p in kv.list(prefix="x")], kv.delete("x"), kv.delete("x")]
    async def sql(self, query, *args):
        cursor = self.ctx.storage.sql.exec(query, *args)
        rows = cursor.toArray()
        return [[dict(row) for row in rows], list(cursor.columnNames), cursor.rowsWritten]
    async def cursor(self):
        sql = self.ctx.storage.sql
        cursor = sql.exec("select 1 as x union select 2")
        first = cursor.next()
        rest = [row["x"] for row in cursor]
        raw = [list(row) for row in sql.exec("select 1, 'a', null").raw()]
        return [first["value"]["x"], rest, raw, dict(sql.exec("select 3 as y").one()), sql.databaseSize > 0]
    async def one(self, query):
        return self.ctx.storage.sql.exec(query).one()
    async def transaction(self, how):
        storage = self.ctx.storage
        async def closure(txn):
            await txn.put("t", 1)
            await storage.put("t2", 2)
            if how == "throw":
                raise RuntimeError("no")
            if how == "rollback":
                txn.rollback()
                return "rolled"
            return await txn.get("t")
        try:
            result = await storage.transaction(closure)
        except Exception as error:
            result = type(error).__name__
        found = [result, await storage.get("t"), await storage.get("t2")]
        await storage.delete(["t", "t2"])
        return found
    async def transaction_sync(self):
        def fail():
            self.ctx.storage.sql.exec("create table gone(a)")
            raise RuntimeError("y")
        try:
            self.ctx.storage.transactionSync(fail)
        except Exception as error:
            result = type(error).__name__
        return [result, self.ctx.storage.sql.exec("select name from sqlite_master where name = 'gone'").toArray()]

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        global broken
        body = await request.json()
        namespace = getattr(self.env, body.get("ns", "D"))
        stub = namespace.getByName(body.get("name", "a"))
        if body["do"] == "mend":
            broken = False
            return Response.json({"value": "ok"})
        if body["do"] == "ids":
            return Response.json(await self.ids(namespace))
        if body["do"] == "together":
            calls = [getattr(stub, method)(*args) for method, *args in body["calls"]]
            return Response.json(await asyncio.gather(*calls))
        if body["do"] == "stub":
            return Response.json(await self.stub(stub))
        try:
            result = await getattr(stub, body["do"])(*body.get("args", []))
        except Exception as error:
            return Response.json({"error": f"{type(error).__name__}: {error}"})
        return Response.json({"value": result})

    async def stub(self, stub):
        async def add(number):
            return number + 1
        answer = await stub.fetch("http://x/path", method="POST", body="hello")
        errors = []
        for call in (lambda: stub.fetch("http://x/throw"), lambda: stub.fetch("http://x/other")):
            try:
                await call()
                errors.append("none")
            except Exception as error:
                errors.append(str(error).splitlines()[-1])
        return [await answer.text(), answer.headers["x-object"] == stub.id.toString(), errors, await stub.call(add), stub.name]

    async def ids(self, namespace):
        assert isinstance(namespace, _DurableObjectNamespaceWrapper)
        made = namespace.idFromName("a")
        found = [str(made), made.name, made.equals(namespace.idFromName("a")), made.equals(namespace.idFromName("b"))]
        found += [namespace.idFromString(str(made).upper()).toString() == str(made)]
        unique = namespace.newUniqueId()
        found += [len(str(unique)), unique.name]
        assert isinstance(namespace.get(unique), _FetcherWrapper)
        europe = namespace.jurisdiction("eu")
        found.append(str(europe.idFromName("a")) != str(made))
        for bad in ("abc", "z" * 64, "a" * 64, str(self.env.BAD.idFromName("a"))):
            try:
                namespace.idFromString(bad)
            except Exception as error:
                found.append(str(error))
        try:
            namespace.get("a")
        except Exception as error:
            found.append(str(error))
        return found
'''


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    project = Project(tmp_path_factory.mktemp("objects"))
    project.config(CONFIG, name="probe")
    project.write("src/entry.py", CODE)
    with project.server() as running:
        yield running


def ask(server: DevServer, do: str, *args: Any, **more: Any) -> Any:
    body = {"do": do, "args": list(args), **more}
    answer = server.post("/", json=body).json()
    return answer["value"] if isinstance(answer, dict) and "value" in answer else answer


def error_of(server: DevServer, do: str, *args: Any, **more: Any) -> str:
    answer = ask(server, do, *args, **more)
    assert isinstance(answer, dict) and "error" in answer, answer
    return str(answer["error"])


def test_ids_are_those_of_workerd(server: DevServer) -> None:
    found = ask(server, "ids")
    assert found[0] == "0ed4ad4542e62e5f7345c4e1c552a46de61fd0039c573f00240dd886ef40f4a0"  # wrangler 4.86, same names
    assert found[1:8] == ["a", True, False, True, 64, None, True]
    assert found[8:] == [
        "TypeError: Invalid Durable Object ID: must be 64 hex digits",
        "TypeError: Invalid Durable Object ID: must be 64 hex digits",
        "TypeError: Durable Object ID is not valid for this namespace.",
        "TypeError: Durable Object ID is not valid for this namespace.",
        "TypeError: Failed to execute 'get' on 'DurableObjectNamespace': parameter 1 is not of type 'DurableObjectId'.",
    ]


def test_stubs(server: DevServer) -> None:
    text, same_id, errors, called, name = ask(server, "stub")
    assert text == "POST http://x/path hello" and same_id and called == 21 and name == "a"
    assert errors[0] == "ValueError: fetch boom"
    assert "Incorrect type for Promise: the Promise did not resolve to 'Response'." in errors[1]
    assert ask(server, "who", name="Zoë")[0] == "Zoë"
    assert ask(server, "through_exports", name="b")["value"][0] == "a"
    assert "ValueError: boom" in error_of(server, "boom")
    for name in ("nope", "_private", "ctx", "storage_"):
        assert f'The RPC receiver does not implement the method "{name}".' in error_of(server, name)
    for name in ("alarm", "webSocketMessage"):
        expected = f"'{name}' is a reserved method and cannot be called over RPC."
        assert expected in error_of(server, name)


def test_one_instance_whose_memory_ends_with_a_reset(server: DevServer) -> None:
    assert ask(server, "ready", name="m") is True  # the constructor's blockConcurrencyWhile came first
    assert [ask(server, "inc", name="m") for _ in range(3)] == [[1, 1], [2, 2], [3, 3]]
    assert "because" in error_of(server, "abort", name="m")
    assert ask(server, "inc", name="m") == [4, 1]
    assert "bcw boom" in error_of(server, "block", name="m")
    assert ask(server, "inc", name="m") == [5, 1]


def test_a_constructor_that_raises_is_tried_again(server: DevServer) -> None:
    assert "TypeError: ctor boom" in error_of(server, "hi", ns="BAD")
    assert "TypeError: ctor boom" in error_of(server, "hi", ns="BAD")
    ask(server, "mend")
    assert ask(server, "hi", ns="BAD") == "hi"


def test_gates(server: DevServer) -> None:
    both = ask(server, "together", calls=[["slow", "a"], ["slow", "b"]], name="g1")
    assert both[0] == ["a>", "b>", "<a", "<b"] or both[1] == ["a>", "b>", "<a", "<b"]
    both = ask(server, "together", calls=[["critical", "a"], ["critical", "b"]], name="g2")
    assert both[1] == ["a>", "<a", "b>", "<b"]
    totals = ask(server, "together", calls=[["two_reads"]] * 5, name="g3")
    assert totals == [1, 2, 3, 4, 5]
    assert ask(server, "sync_read", name="g3") == 5


def test_keys_and_values(server: DevServer) -> None:
    def storage(*args: Any) -> Any:
        return ask(server, "storage", *args, name="s")

    assert storage("put", "k", {"a": [1, None, "x"]}) is None
    assert storage("get", "k") == {"a": [1, None, "x"]}
    assert storage("get", "none") is None
    assert storage("put", {"b": 2, "ab": 3, "é": 4, "": 0}) is None
    assert storage("get", ["é", "b", "zz"]) == {"b": 2, "é": 4}
    assert ask(server, "listed", name="s") == [["", 0], ["ab", 3], ["b", 2], ["k", {"a": [1, None, "x"]}], ["é", 4]]
    listed = {
        "start": [["b", 2], ["k", {"a": [1, None, "x"]}], ["é", 4]],
        "startAfter": [["k", {"a": [1, None, "x"]}], ["é", 4]],
    }
    for name, expected in listed.items():
        assert ask(server, "listed", {name: "b"}, name="s") == expected
    assert ask(server, "listed", {"end": "k", "reverse": True, "limit": 2}, name="s") == [["b", 2], ["ab", 3]]
    assert ask(server, "listed", {"prefix": "a"}, name="s") == [["ab", 3]]
    assert storage("delete", "b") is True and storage("delete", "b") is False
    assert storage("delete", ["ab", "zz", "é"]) == 2
    assert "List limit must be positive." in error_of(server, "listed", {"limit": 0}, name="s")
    twice = error_of(server, "listed", {"start": "a", "startAfter": "a"}, name="s")
    assert "list() cannot be called with both start and startAfter values." in twice
    assert storage("deleteAll") is None and ask(server, "listed", name="s") == []
    assert ask(server, "kv", name="s") == [{"a": [1]}, None, [["x", {"a": [1]}]], True, False]


def test_limits(server: DevServer) -> None:
    long = "k" * 2049
    text = error_of(server, "put", long, 1, ns="OLD")
    assert "Keys cannot be larger than 2048 bytes. A key of size 2049 was provided." in text
    text = error_of(server, "put", "k", "x" * 131072, ns="OLD")
    assert "RangeError: Values cannot be larger than 131072 bytes." in text
    assert "SQL is not enabled for this Durable Object class." in error_of(server, "sql", ns="OLD")
    assert "must have an alarm() handler" in error_of(server, "set_alarm", ns="OLD")
    assert "SQLITE_TOOBIG" in error_of(server, "storage", "put", "k", "x" * (2 * 1024 * 1024))


def test_transactions(server: DevServer) -> None:
    assert ask(server, "transaction", "commit", name="t") == [1, 1, 2]
    assert ask(server, "transaction", "throw", name="t") == ["RuntimeError", None, None]
    assert ask(server, "transaction", "rollback", name="t") == ["rolled", None, None]
    assert ask(server, "transaction_sync", name="t") == ["RuntimeError", []]


def test_sql(server: DevServer) -> None:
    def sql(*args: Any) -> Any:
        return ask(server, "sql", *args, name="q")

    assert sql("create table t(a integer primary key, b text, d real)")[0] == []
    assert sql("insert into t(b, d) values(?, ?), ('z', null) returning a, b", "x", 1.5) == [
        [{"a": 1, "b": "x"}, {"a": 2, "b": "z"}],
        ["a", "b"],
        2,
    ]
    assert sql("select * from t order by a")[0] == [{"a": 1, "b": "x", "d": 1.5}, {"a": 2, "b": "z", "d": None}]
    assert sql("select typeof(?) as a, typeof(?) as b, ? as c, ? as d", 1, 1.5, True, None)[0] == [
        {"a": "real", "b": "real", "c": "true", "d": None}
    ]
    assert sql("insert into t(b) values('y'); select count(*) as n from t where b = ?", "y")[0] == [{"n": 1}]
    assert ask(server, "cursor", name="q") == [1, [2], [[1, "a", None]], {"y": 3}, True]
    expected = {
        "select * from t where 0": "Expected exactly one result from SQL query, but got no results.",
        "select * from t": "Expected exactly one result from SQL query, but got multiple results.",
    }
    for query, text in expected.items():
        assert text in error_of(server, "one", query, name="q")
    refused = {
        "selec 1": 'near "selec": syntax error at offset 0: SQLITE_ERROR',
        "-- nothing": "SQL code did not contain a statement.",
        "BEGIN": "To execute a transaction, please use the state.storage.transaction()",
        "select ?": "Wrong number of parameter bindings for SQL query.",
        "select ?; select 1": "only the last statement can have parameters.",
        "select * from nope": "no such table: nope: SQLITE_ERROR",
        "insert into t(a) values(1)": "UNIQUE constraint failed: t.a: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_PRIMARYKEY)",
        "select * from _cf_KV": "access to _cf_KV.key is prohibited: SQLITE_AUTH",
        "create table _cf_x(a)": "not authorized: SQLITE_AUTH",
        "attach ':memory:' as x": "not authorized: SQLITE_AUTH",
        "pragma journal_mode": "not authorized: SQLITE_AUTH",
        "select sqlite_version()": "not authorized to use function: sqlite_version at offset 7",
        "select nope('a')": "no such function: nope at offset 7: SQLITE_ERROR",
    }
    for query, text in refused.items():
        assert text in error_of(server, "sql", query, name="q"), query
    assert "Cannot convert a BigInt value to a number" in error_of(server, "sql", "select ?", 2**60, name="q")


def test_the_files_are_those_of_the_objects(server: DevServer) -> None:
    ask(server, "inc", name="file")
    object_id = ask(server, "who", name="file")[1]
    files = list(Path(server.cwd).rglob(f"do/probe-D/{object_id}.sqlite"))
    assert len(files) == 1
    with sqlite3.connect(files[0]) as database:
        assert [key for (key,) in database.execute("select key from _cf_KV")] == ["n"]


def test_a_class_that_is_not_there_is_an_error_at_the_start(project: Project) -> None:
    project.config('[[durable_objects.bindings]]\nname = "X"\nclass_name = "Missing"\n')
    project.write(
        "src/entry.py", "from workers import DurableObject, WorkerEntrypoint\nclass Room(DurableObject): ...\n"
    )
    with project.server() as server:
        server.wait_for(r"Durable Objects, which are not exported in your entrypoint file: Missing")
        assert "exports these Durable Object classes: Room" in server.output


def test_a_second_session_is_told_at_once_and_goes_on_when_the_first_has_ended(project: Project) -> None:
    project.config(CONFIG, name="probe")
    project.write("src/entry.py", CODE)
    first, second = project.server(), project.server()
    with first:
        assert ask(first, "inc") == [1, 1]
        with second:
            second.wait_for("another session runs them")
            refused = error_of(second, "inc")
            assert f"another session runs them (process {first.pid};" in refused and "--persist-to" in refused
            assert ask(first, "inc") == [2, 2]
            first.stop()
            assert ask(second, "inc") == [3, 1]
