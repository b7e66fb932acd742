"""Runs inside of a Worker's fetch handler: workflows through the SDK's binding."""

import asyncio

import pytest
from workers import env
from workers.rpc import _WorkflowBindingWrapper, _WorkflowInstanceWrapper


async def until(instance, status):
    for _ in range(400):
        found = await instance.status()
        if found.status == status:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(found)


async def test_create_and_complete():
    assert isinstance(env.WF, _WorkflowBindingWrapper)
    instance = await env.WF.create(id="one", params={"n": 2})
    assert isinstance(instance, _WorkflowInstanceWrapper) and instance.id == "one"
    found = await until(instance, "complete")
    assert found["output"] == {"doubled": 4, "list": [1, None]} and found.error is None
    again = await env.WF.get("one")
    assert (await again.status()).status == "complete"


async def test_defaults():
    instance = await env.WF.create()
    assert len(instance.id) == 36
    assert (await until(instance, "complete")).output.doubled == 0


async def test_a_batch():
    made = await env.WF.create_batch([{"id": "b1", "params": {"n": 1}}, {"id": "b2", "params": {"n": 2}}])
    assert [instance.id for instance in made] == ["b1", "b2"]
    assert [(await until(instance, "complete")).output.doubled for instance in made] == [2, 4]


async def test_an_event():
    instance = await env.WF.create(id="event", params={"wait": True})
    await until(instance, "waiting")
    await instance.send_event({"type": "go", "payload": {"by": "me"}})
    assert (await until(instance, "complete")).output == {"by": "me"}


async def test_control():
    instance = await env.WF.create(id="control", params={"wait": True})
    await until(instance, "waiting")
    await instance.pause()
    await until(instance, "paused")
    await instance.resume()
    await until(instance, "waiting")
    await instance.terminate()
    await until(instance, "terminated")
    with pytest.raises(Exception, match="finite state"):
        await instance.terminate()
    await instance.restart()
    await until(instance, "waiting")
    await instance.terminate()


async def test_what_is_not_there():
    with pytest.raises(Exception, match=r"instance\.not_found"):
        await env.WF.get("nobody")
    with pytest.raises(Exception, match="invalid id"):
        await env.WF.create(id="no spaces")
