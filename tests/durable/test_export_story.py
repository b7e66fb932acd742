"""A stateful export: a Durable Object with start, step and status, and an alarm that times it out after 30 minutes, on the
virtual clock, killed in the middle; and what else a kill, a reload and a failing alarm must not break."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import threading
import time
from typing import Any

from dev_server import DevServer
from session_project import Project

CONFIG = """
    [[durable_objects.bindings]]
    name = "EXPORTS"
    class_name = "Export"
    [[migrations]]
    tag = "v1"
    new_sqlite_classes = ["Export"]
"""

CODE = '''
import asyncio, time
from urllib.parse import parse_qs, urlsplit
from workers import DurableObject, Response, WorkerEntrypoint

VERSION = 1
LIMIT_MS = 30 * 60 * 1000

class Export(DurableObject):
    async def start(self, total):
        await self.ctx.storage.put({"total": total, "done": 0, "state": "running"})
        await self.ctx.storage.setAlarm(int(time.time() * 1000) + LIMIT_MS)
    async def step(self, by):
        done = await self.ctx.storage.get("done") + by
        total = await self.ctx.storage.get("total")
        await self.ctx.storage.put("done", done)
        if done >= total:
            await self.ctx.storage.put("state", "complete")
            await self.ctx.storage.deleteAlarm()
        return done
    async def status(self):
        found = await self.ctx.storage.get(["state", "done", "total", "tries"])
        return {**found, "alarm": await self.ctx.storage.getAlarm() is not None, "version": VERSION}
    async def alarm(self, info):
        tries = (await self.ctx.storage.get("tries") or []) + [[info.retryCount, info.isRetry]]
        await self.ctx.storage.put("tries", tries)
        print("alarm of", self.ctx.id.name)
        if await self.ctx.storage.get("state") == "failing":
            raise ValueError("export cannot be ended")
        await self.ctx.storage.put("state", "timed out")
    async def fail(self):
        await self.ctx.storage.put("state", "failing")
        await self.ctx.storage.setAlarm(int(time.time() * 1000) + 1000)
    async def pair(self, number):
        """Two writes of one turn: never one without the other."""
        await self.ctx.storage.put("left", number)
        await self.ctx.storage.put("right", number)
    async def committed(self):
        """What a transaction has written is on disk before anything leaves, although the event goes on."""
        async def closure(txn):
            await txn.put("inside", 1)
            await asyncio.sleep(0.02)
        await self.ctx.storage.transaction(closure)
        print("told")
        await asyncio.sleep(30)
    async def slow(self):
        await asyncio.sleep(0.4)
        return [VERSION, await self.ctx.storage.get("left")]

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        url = urlsplit(request.url)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        stub = self.env.EXPORTS.getByName(query.pop("id", "june"))
        try:
            result = await getattr(stub, url.path[1:])(*map(int, query.values()))
        except Exception as error:
            return Response.json({"error": str(error)}, status=500)
        return Response.json(result)
'''


def get(server: DevServer, path: str) -> Any:
    return server.get(path).json()


def make(project: Project) -> None:
    project.config(CONFIG)
    project.write("src/entry.py", CODE)


def kill(server: DevServer) -> None:
    os.kill(server.pid, signal.SIGKILL)
    server.wait_exit()


def test_an_export_times_out_although_the_session_was_killed(project: Project) -> None:
    make(project)
    options = ("--clock", "virtual", "--now", "2026-06-01T10:00:00Z")
    server = project.server(*options).start()
    get(server, "/start?total=5")
    assert get(server, "/step?by=2") == 2
    server.wpy("clock", "advance", "20m")
    assert get(server, "/status")["state"] == "running"
    kill(server)
    with project.server(*options) as server:  # the clock begins again at 10:00, as it was told to
        assert get(server, "/status") == {"state": "running", "done": 2, "total": 5, "alarm": True, "version": 1}
        assert get(server, "/step?by=1") == 3
        server.wpy("clock", "advance", "29m")
        assert get(server, "/status")["state"] == "running"
        server.wpy("clock", "advance", "2m")
        found = get(server, "/status")
        assert (found["state"], found["done"], found["alarm"]) == ("timed out", 3, False)
        assert found["tries"] == [[0, False]]
        server.wait_for(r"ALARM Export\(june\) ok")
        # One that is done in time is not touched.
        get(server, "/start?total=1&id=july")
        get(server, "/step?by=1&id=july")
        server.wpy("clock", "advance", "1h")
        assert get(server, "/status?id=july")["state"] == "complete"


def test_an_alarm_that_always_fails_is_given_up_after_six_retries(project: Project) -> None:
    make(project)
    with project.server("--clock", "virtual") as server:
        get(server, "/fail")
        server.wpy("clock", "advance", "2s")
        assert get(server, "/status")["tries"] == [[0, False]]
        assert get(server, "/status")["alarm"] is True
        server.wpy("clock", "advance", "3s")
        assert get(server, "/status")["tries"] == [[0, False], [1, True]]
        server.wpy("clock", "advance", "1h")
        assert get(server, "/status")["tries"] == [[n, n > 0] for n in range(7)]
        server.wait_for(r"The alarm of Export\(june\) failed again after 6 retries: it is given up")
        assert "ValueError: export cannot be ended" in server.output
        assert get(server, "/status")["alarm"] is False


def test_kill_9_under_load_tears_nothing(project: Project) -> None:
    make(project)
    stop = threading.Event()
    told = 0

    def load(server: DevServer) -> None:
        nonlocal told
        number = 0
        while not stop.is_set():
            number += 1
            try:
                answer = server.get(f"/pair?number={number}")
            except OSError:
                return
            if answer.status == 200:
                told = number

    server = project.server("--no-cron").start()
    writer = threading.Thread(target=load, args=(server,))
    writer.start()
    while told < 40:
        time.sleep(0.01)
    kill(server)
    stop.set()
    writer.join()
    (file,) = (project.state / "do" / "app-Export").glob("[0-9a-f]*.sqlite")
    with sqlite3.connect(file) as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
        left, right = (
            database.execute("select value from _cf_KV where key = ?", (key,)).fetchone()[0]
            for key in ("left", "right")
        )
    assert left == right
    with project.server("--no-cron") as server:
        assert get(server, "/slow")[1] >= told  # what was answered is there


def test_a_reload_hands_the_objects_over(project: Project) -> None:
    make(project)
    with project.server("--no-cron") as server:
        get(server, "/pair?number=1")
        answers: list[Any] = []
        slow = threading.Thread(target=lambda: answers.append(get(server, "/slow")))
        slow.start()
        time.sleep(0.1)
        mark = server.mark()
        project.write("src/entry.py", CODE.replace("VERSION = 1", "VERSION = 2"))
        server.wait_for(r"[Rr]eloaded", after=mark)
        assert get(server, "/pair?number=2") is None
        assert get(server, "/slow") == [2, 2]
        slow.join()
        assert answers == [[1, 1]]  # it ended in the old version, before the new one had the object


def test_alarms_are_listed_run_and_canceled_by_hand(project: Project) -> None:
    make(project)
    with project.server("--clock", "virtual") as server:
        get(server, "/start?total=5")
        get(server, "/start?total=5&id=july")
        alarms = control(project, "GET durable-objects/alarms")["alarms"]
        assert [(alarm["class"], alarm["name"]) for alarm in alarms] == [("Export", "june"), ("Export", "july")]
        named = {key: alarms[0][key] for key in ("worker", "class", "id")}
        assert control(project, "POST durable-objects/alarms/run", named)["outcome"] == "ok"
        assert get(server, "/status")["state"] == "timed out"
        named = {key: alarms[1][key] for key in ("worker", "class", "id")}
        control(project, "POST durable-objects/alarms/cancel", named)
        assert get(server, "/status?id=july")["alarm"] is False
        assert control(project, "GET durable-objects/alarms") == {"alarms": []}


def control(project: Project, call: str, arguments: dict[str, Any] | None = None) -> Any:
    from wrangler_py.cli.session_client import connect_to

    with connect_to(project.state) as client:
        return json.loads(json.dumps(client.call(call, arguments)))


def test_a_transaction_is_stored_before_the_next_turn(project: Project) -> None:
    make(project)
    server = project.server("--no-cron").start()
    threading.Thread(target=lambda: _ignored(server, "/committed"), daemon=True).start()
    server.wait_for("told$")
    time.sleep(0.05)
    kill(server)
    (file,) = (project.state / "do" / "app-Export").glob("[0-9a-f]*.sqlite")
    with sqlite3.connect(file) as database:
        assert database.execute("select count(*) from _cf_KV where key = 'inside'").fetchone() == (1,)


def _ignored(server: DevServer, path: str) -> None:
    with contextlib.suppress(OSError):
        server.get(path)
