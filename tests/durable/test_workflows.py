"""Workflows through real sessions: steps, retries, sleeps, events, control, and what a killed process must not repeat."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

from dev_server import DevServer
from session_project import Project

CONFIG = """
    [[workflows]]
    binding = "WF"
    name = "orders"
    class_name = "Orders"
"""

CODE = """
import asyncio, json, os
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qs, urlsplit
from workers import Response, WorkerEntrypoint, WorkflowEntrypoint
from workers.workflows import NonRetryableError

class Orders(WorkflowEntrypoint):
    async def run(self, event, step):
        mode = event["payload"].get("mode", "plain")
        print("run", event["instanceId"], mode, isinstance(event["timestamp"], datetime))
        return await getattr(self, mode)(step)

    async def plain(self, step):
        @step.do()
        async def first():
            print("first runs")
            return {"when": datetime(2026, 1, 2), "bytes": b"ab"}
        @step.do()
        async def second(first, ctx):
            return [first["when"].year, bytes(first["bytes"]).decode(), ctx["attempt"], ctx["step"]["name"]]
        await step.sleep("nap", "1 hour")
        await step.sleep_until("dawn", datetime.now() + timedelta(days=2))
        return await second()

    async def past(self, step):
        await step.sleep_until("gone", datetime.now() - timedelta(hours=1))

    async def flaky(self, step):
        @step.do("flaky", config={"retries": {"limit": 3, "delay": "10 seconds", "backoff": "exponential"}})
        async def flaky(ctx):
            print("attempt", ctx["attempt"])
            if ctx["attempt"] < 4:
                raise ValueError(f"flaky {ctx['attempt']}")
            return "at last"
        return await flaky()

    async def fails(self, step):
        @step.do("bad", config={"retries": {"limit": 1, "delay": 0}})
        async def bad():
            raise ValueError("always")
        try:
            await bad()
        except ValueError as error:
            return f"caught {error}"

    async def fatal(self, step):
        @step.do("never again")
        async def bad():
            raise NonRetryableError("no use")
        await bad()

    async def slow(self, step):
        @step.do("slow", config={"retries": {"limit": 0, "delay": 0}, "timeout": 100})
        async def slow():
            await asyncio.sleep(30)
        await slow()

    async def together(self, step):
        @step.do()
        async def a():
            return 1
        @step.do()
        async def b():
            return 2
        @step.do(concurrent=True)
        async def total(a, b):
            return a + b
        return await total()

    async def waits(self, step):
        got = await step.wait_for_event("approval", "approved", timeout="2 days")
        try:
            await step.wait_for_event("more", "more", timeout="1 hour")
        except Exception as error:
            return [got["payload"], got["type"], str(error)]

    async def dies(self, step):
        @step.do("before")
        async def before():
            print("before runs")
            return 1
        await before()
        @step.do("deadly")
        async def deadly(ctx):
            print("deadly", ctx["attempt"])
            if ctx["attempt"] == 1:
                print("pid", os.getpid())
                await asyncio.sleep(20)
            return ctx["attempt"]
        return await deadly()

    async def function(self, step):
        @step.do("function")
        async def bad():
            return lambda: 1
        await bad()

    async def config(self, step):
        @step.do("x", config={"retries": {"limit": 1}})
        async def x():
            return 1
        await x()

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        url = urlsplit(request.url)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        try:
            return Response(json.dumps(await self.answer(url.path[1:], query), default=str))
        except Exception as error:
            return Response(json.dumps({"error": str(error)}), status=500)
    async def answer(self, path, query):
        if path == "create":
            return (await self.env.WF.create(id=query.get("id"), params={"mode": query.get("mode", "plain")})).id
        if path == "batch":
            made = await self.env.WF.create_batch([{"id": name, "params": {"mode": "together"}} for name in query["ids"].split(",")])
            return [instance.id for instance in made]
        instance = await self.env.WF.get(query["id"])
        if path == "event":
            await instance.send_event({"type": query["type"], "payload": {"ok": True}})
        elif path != "status":
            await getattr(instance, path)()
        return await instance.status()
"""


def get(server: DevServer, path: str) -> Any:
    return server.get(path).json()


def until(server: DevServer, instance: str, status: str) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        answer = server.get(f"/status?id={instance}")
        found = answer.json() if answer.text.startswith("{") else {"answer": answer.text}
        if found.get("status") == status:
            return found
        time.sleep(0.05)
    raise AssertionError(found)


def make(project: Project) -> None:
    project.config(CONFIG)
    project.write("src/entry.py", CODE)


def test_steps_retries_sleeps_and_events(project: Project) -> None:
    make(project)
    with project.server("--clock", "virtual") as server:
        modes = ("plain", "flaky", "fails", "fatal", "slow", "together", "waits", "function", "config", "past")
        for mode in modes:
            assert get(server, f"/create?id={mode}&mode={mode}") == mode
        assert "instance.already_exists" in get(server, "/create?id=plain")["error"]
        assert "invalid id" in get(server, "/create?id=a%20b")["error"]
        assert "instance.not_found" in get(server, "/status?id=nobody")["error"]

        assert until(server, "fails", "complete")["output"] == "caught ValueError: always"
        fatal = until(server, "fatal", "errored")["error"]
        assert "NonRetryableError: no use" in fatal["message"] and len(server.find("never again")) == 1
        assert "Execution timed out after 100ms" in until(server, "slow", "errored")["error"]["message"]
        together = until(server, "together", "complete")
        assert together["output"] == 3 and together["__LOCAL_DEV_STEP_OUTPUTS"] == [1, 2, 3]
        function = until(server, "function", "errored")["error"]
        assert function["name"] == "WorkflowFatalError"
        assert 'the step "function" returned a value which is not serialisable' in function["message"]
        assert "is in a invalid format" in until(server, "config", "errored")["error"]["message"]

        assert "time-traveler" in until(server, "past", "errored")["error"]["message"]

        until(server, "plain", "waiting")
        until(server, "flaky", "waiting")
        server.wpy("clock", "advance", "9s")
        assert len(server.find("attempt 2$")) == 0
        server.wpy("clock", "advance", "61s")  # 10 + 20 + 40 s
        until(server, "flaky", "complete")
        assert len(server.find(r"attempt \d$")) == 4
        assert get(server, "/event?id=waits&type=approved")["status"] in ("running", "waiting")
        until(server, "waits", "waiting")
        server.wpy("clock", "advance", "1h")
        waits = until(server, "waits", "complete")["output"]
        assert waits[:2] == [{"ok": True}, "approved"] and "Execution timed out after 3600000ms" in waits[2]
        assert get(server, "/status?id=plain")["status"] == "waiting"
        server.wpy("clock", "advance", "3d")
        assert until(server, "plain", "complete")["output"] == [2026, "ab", 1, "second"]
        assert len(server.find("first runs")) == 1
        server.wait_for(r"WORKFLOW orders/plain complete")


def test_what_was_done_is_not_done_again(project: Project) -> None:
    """The worker's process is killed in a step, then the session; a reload begins the run anew, with new code."""
    make(project)
    server = project.server("--clock", "virtual").start()
    get(server, "/create?id=d&mode=dies")
    os.kill(int(server.wait_for(r"pid (\d+)$")[1]), signal.SIGKILL)
    server.wait_for("deadly 2")
    assert until(server, "d", "complete")["output"] == 2
    assert len(server.find("before runs")) == 1
    described = json.loads(server.wpy("workflows", "instances", "describe", "orders", "latest", "--json"))
    assert [attempt["success"] for attempt in described["steps"][1]["attempts"]] == [False, True]
    assert described["steps"][1]["attempts"][0]["error"]["name"] == "WorkflowInternalError"

    get(server, "/create?id=e&mode=dies")
    server.wait_for(r"pid (\d+)$", count=2)
    get(server, "/create?id=p&mode=plain")
    until(server, "p", "waiting")
    os.kill(server.pid, signal.SIGKILL)
    server.wait_exit()
    offline = json.loads(project.wpy("workflows", "instances", "list", "orders", "--json").out)
    assert {found["id"]: found["status"] for found in offline} == {"d": "complete", "e": "running", "p": "waiting"}
    project.wpy("workflows", "instances", "pause", "orders", "p")
    with project.server("--clock", "virtual") as server:
        assert until(server, "e", "complete")["output"] == 2
        assert len(server.find("before runs")) == 0
        assert get(server, "/status?id=p")["status"] == "paused"
        get(server, "/resume?id=p")
        until(server, "p", "waiting")
        mark = server.mark()
        project.write("src/entry.py", CODE.replace('print("run"', 'print("new run"'))
        server.wait_for("new run p plain True", after=mark)
        server.wpy("clock", "advance", "3d")
        assert until(server, "p", "complete")["output"][0] == 2026
        assert len(server.find("first runs")) == 1  # it is first asked for after the sleeps


def test_control_by_binding_and_command(project: Project) -> None:
    make(project)
    with project.server("--clock", "virtual") as server:
        assert get(server, "/batch?ids=b1,b2,b1") == ["b1", "b2"]
        until(server, "b2", "complete")
        get(server, "/create?id=c")
        until(server, "c", "waiting")
        assert get(server, "/pause?id=c")["status"] == "paused"
        server.wpy("clock", "advance", "5d")
        assert get(server, "/status?id=c")["status"] == "paused"
        assert get(server, "/resume?id=c")["status"] in ("queued", "running", "waiting")
        until(server, "c", "waiting")
        server.wpy("clock", "advance", "59m")
        assert get(server, "/status?id=c")["status"] == "waiting"  # the hour had not begun to run out
        assert get(server, "/terminate?id=c")["status"] == "terminated"
        assert "instance.cannot_terminate" in get(server, "/terminate?id=c")["error"]
        assert get(server, "/restart?id=c")["status"] in ("queued", "running", "waiting")
        until(server, "c", "waiting")
        server.wpy("workflows", "instances", "terminate", "orders", "latest")
        assert get(server, "/status?id=c")["status"] == "terminated"
        server.wpy("workflows", "trigger", "orders", '{"mode": "waits"}', "--id", "t")
        until(server, "t", "waiting")
        server.wpy("workflows", "instances", "send-event", "orders", "t", "--type", "approved", "--payload", '{"n": 1}')
        server.wpy("clock", "advance", "2h")
        assert until(server, "t", "complete")["output"][0] == {"n": 1}
        listed = json.loads(server.wpy("workflows", "list", "--json"))
        assert listed[0]["name"] == "orders" and listed[0]["instances"] == {"complete": 3, "terminated": 1}


def test_code_that_cannot_be_loaded_is_waited_for(project: Project) -> None:
    make(project)
    with project.server("--clock", "virtual") as server:
        get(server, "/create?id=p")
        until(server, "p", "waiting")
    project.write("src/entry.py", "import nothing_of_that_name\n")
    with project.server("--clock", "virtual") as server:
        server.wait_for("nothing_of_that_name")
        server.wpy("clock", "advance", "1h")
        time.sleep(1)
        project.write("src/entry.py", CODE)
        until(server, "p", "waiting")
        server.wpy("clock", "advance", "3d")
        assert until(server, "p", "complete")["output"][0] == 2026


def test_a_class_that_is_not_there_is_an_error_at_the_start(project: Project) -> None:
    project.config(CONFIG.replace('"Orders"', '"Missing"'))
    project.write("src/entry.py", CODE)
    with project.server() as server:
        server.wait_for(r"Workflows, which are not exported in your entrypoint file: Missing")
