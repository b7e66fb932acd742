"""Runs inside of a Worker's fetch handler: Durable Objects through the SDK's bindings."""

import asyncio

import js
import pytest
from pyodide.ffi import run_sync
from workers import Response, env
from workers.entrypoints import DurableObjectContext
from workers.rpc import _DurableObjectNamespaceWrapper, _FetcherWrapper


def stub(name="inside"):
    return env.COUNTER.getByName(name)


def test_the_types_are_the_sdks():
    assert isinstance(env.COUNTER, _DurableObjectNamespaceWrapper)
    assert isinstance(stub(), _FetcherWrapper)
    assert env.COUNTER.idFromName("x").toString() == str(env.COUNTER.idFromName("x"))


async def test_methods_and_values():
    counter = stub("values")
    assert await counter.add(2) == 2
    assert await counter.add(by=3) == 5
    value = {"list": [1, None, {"deep": True}], "bytes": b"\x00\xff", "text": "é"}
    back = await counter.echo(value)
    assert back["list"] == [1, None, {"deep": True}] and bytes(back["bytes"]) == b"\x00\xff" and back["text"] == "é"
    assert back.list[2].deep is True


async def test_the_context_is_the_sdks():
    assert await stub().context() == [True, True, "inside"]


async def test_fetch():
    answer = await stub().fetch("http://object/path", method="POST", body="data")
    assert isinstance(answer, Response) and answer.status == 201
    assert await answer.text() == "POST http://object/path data"


async def test_an_exception_comes_back():
    with pytest.raises(Exception, match="ValueError: from inside"):
        await stub().fail()


async def test_storage_and_sql_inside_of_an_object():
    assert await stub("sql").store() == [{"id": 1, "name": "ada"}, {"id": 2, "name": "bob"}]
    assert await stub("sql").keys() == {"a": 1, "b": [2]}


async def test_many_at_once_lose_nothing():
    counter = stub("many")
    await asyncio.gather(*[counter.add(1) for _ in range(20)])
    assert await counter.add(0) == 20


def test_run_sync():
    assert run_sync(stub("sync").add(1)) == 1


async def test_a_sibling_workers_object():
    other = env.OTHER.getByName("far")
    assert await other.hello("me") == "hello me from far"
    assert await (await other.fetch("http://x/there")).text() == "fetched /there"
    with pytest.raises(Exception, match=r'The RPC receiver does not implement the method "nope"\.'):
        await other.nope()

    async def ten(number):
        return number * 10

    assert await other.call(ten) == 70


async def test_an_alarm():
    await stub("alarm").set_alarm(20)
    for _ in range(200):
        if await stub("alarm").fired():
            break
        await asyncio.sleep(0.02)
    assert await stub("alarm").fired() == [0, False]


def test_nothing_but_a_context_is_one():
    marker = object()
    context = DurableObjectContext(marker)
    assert DurableObjectContext(context) is context and js.Object is not None
