"""What stands behind the bindings, and faults on purpose; and that the lines to copy do what they say."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jsonschema
import pytest
from bound_state import CLASSES, bindings
from session_project import Project

from .conftest import API, Api

CONFIG = """
[triggers]
crons = ["0 4 * * *"]

[[queues.producers]]
binding = "JOBS"
queue = "jobs"

[[queues.consumers]]
queue = "jobs"
max_batch_timeout = 0
max_retries = 3
retry_delay = 60
dead_letter_queue = "jobs-dead"
"""

WORKER = """
class Default(WorkerEntrypoint):
    async def fetch(self, request):
        if request.url.endswith("/cached"):
            return Response(str(await self.env.CACHE.get("from page")))
        if request.url.endswith("/enter"):
            await self.env.ROOM.get(self.env.ROOM.idFromName("lobby")).enter("bob")
            return Response("entered")
        await self.env.CACHE.put("greeting", "<b>hello</b>", expirationTtl=3600, metadata={"by": "fetch"})
        await self.env.CACHE.put("raw", bytes([0, 255]))
        await self.env.FILES.put("photos/cat.txt", "miaow")
        await self.env.DB.exec("CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT, photo BLOB)")
        await self.env.DB.exec("INSERT INTO users VALUES (9007199254740993, 'ada', x'00ff')")
        await self.env.ROOM.get(self.env.ROOM.idFromName("lobby")).enter("ada")
        await self.env.ORDERS.create(id="order-1", params={"total": 5})
        return Response("seeded")

    async def queue(self, batch, env, ctx):
        pass

    async def scheduled(self, controller, env, ctx):
        pass
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    made = Project(tmp_path_factory.mktemp("state") / "project")
    made.config(CONFIG + bindings("cache/one"))
    made.code(CLASSES + WORKER)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def api(project: Project) -> Api:
    made = Api(project.start("--clock", "virtual", "--now", "2026-03-01T09:00:00Z"))
    assert made.server.get("/seed").text == "seeded"
    return made


def state(api: Api, path: str, status: int = 200, **query: Any) -> Any:
    """An answer, as the OpenAPI document says that it is."""
    answer = api.get(f"state/{path}?{urlencode(query)}", status)
    if status == 200:
        told = api.get("openapi.json")["paths"][f"/state/{path}"]["get"]["responses"]["200"]
        jsonschema.validate(answer, told["content"]["application/json"]["schema"])
    return answer


def test_everything_that_the_config_binds_is_listed(api: Api) -> None:
    found = api.get("state")
    assert [(kv["id"], kv["bindings"], kv["keys"]) for kv in found["kv"]] == [
        ("cache/one", [{"worker": "app", "binding": "CACHE"}], 2)
    ]
    assert [(d1["name"], d1["tables"]) for d1 in found["d1"]] == [("shop", 1)]
    assert [(r2["bucket"], r2["objects"], r2["bytes"]) for r2 in found["r2"]] == [("files", 1, 5)]
    assert [(one["class"], one["objects"]) for one in found["objects"]] == [("Room", 1)]
    assert found["workflows"][0]["instances"] == {"waiting": 1}


def test_kv_is_looked_into_and_changed(api: Api) -> None:
    space = {"namespace": "cache/one"}
    greeting = state(api, "kv/value", **space, key="greeting")
    assert (greeting["text"], json.loads(greeting["metadata"])) == ("<b>hello</b>", {"by": "fetch"})
    assert greeting["expirationMs"] == 1772359200000  # an hour after the session's nine o'clock
    assert state(api, "kv/value", **space, key="raw")["base64"] == base64.b64encode(b"\0\xff").decode()
    page = state(api, "kv/keys", **space, limit=1)
    assert [key["name"] for key in page["keys"]] == ["greeting"]
    assert [key["name"] for key in state(api, "kv/keys", **space, cursor=page["cursor"])["keys"]] == ["raw"]
    api.post("state/kv/put", {**space, "key": "from page", "text": "exact 9007199254740993"})
    assert api.server.get("/cached").text == "exact 9007199254740993"  # the worker sees it at once
    api.post("state/kv/delete", {**space, "keys": ["from page"]})
    assert api.server.get("/cached").text == "None"
    assert "512" in api.post("state/kv/put", {**space, "key": "k" * 600, "text": ""}, 400)["error"]
    assert "cache/one" in state(api, "kv/keys", 404, namespace="nope")["error"]


def test_d1_rows_are_exact_and_sql_runs_by_its_rules(api: Api) -> None:
    database = {"database": "shop-id"}
    (table,) = state(api, "d1/tables", **database)["tables"]
    assert (table["name"], table["rows"]) == ("users", 1)
    (row,) = state(api, "d1/rows", **database, table="users")["rows"]
    assert row == [
        {"type": "integer", "text": "9007199254740993"},
        {"type": "text", "text": "ada"},
        {"type": "blob", "text": "00ff", "bytes": 2},
    ]
    done = api.post(
        "state/d1/query", {**database, "sql": "INSERT INTO users VALUES (1, 'bob', NULL); SELECT name FROM users"}
    )
    assert [[cell["text"] for cell in row] for row in done["results"][-1]["rows"]] == [["bob"], ["ada"]]
    assert (
        "no such table"
        in api.post("state/d1/query", {**database, "sql": "DELETE FROM users; SELECT * FROM nope"}, 400)["error"]
    )
    assert len(state(api, "d1/rows", **database, table="users")["rows"]) == 2  # all of it or nothing
    state(api, "d1/rows", 404, **database, table='users"; DROP TABLE users; --')


def test_r2_objects_durable_objects_and_workflows(api: Api) -> None:
    assert state(api, "r2/objects", bucket="files", folders=1)["folders"] == ["photos/"]
    assert state(api, "r2/object", bucket="files", key="photos/cat.txt")["text"] == "miaow"
    api.post("state/r2/put", {"bucket": "files", "key": "b", "base64": "AP8=", "contentType": "image/png"})
    assert state(api, "r2/object", bucket="files", key="b")["contentType"] == "image/png"
    api.post("state/r2/delete", {"bucket": "files", "keys": ["b"]})
    state(api, "r2/object", 404, bucket="files", key="b")

    room = {"worker": "app", "class": "Room"}
    (one,) = state(api, "objects", **room, q="lobby")["objects"]
    assert one["name"] == "lobby" and state(api, "objects", **room, q=one["id"][:9])["total"] == 1
    assert state(api, "objects", **room, q="attic")["total"] == 0
    stored = state(api, "object", **room, id=one["id"])
    assert [(key["key"], key["text"]) for key in stored["keys"]] == [("last", '{"who": "ada", "n": 3}')]
    rows = state(api, "object/rows", **room, id=one["id"], table="visits")["rows"]
    assert rows[0][1]["text"] == "9007199254740993"
    state(api, "object", 404, **room, id="../../wpy")

    (order,) = state(api, "workflows/instances", workflow="order-flow")["instances"]
    assert [s["state"] for s in state(api, "workflows/instance", workflow="order-flow", id=order["id"])["steps"]] == [
        "done",
        "waiting",
    ]
    assert api.post("workflows/pause", {"workflow": "order-flow", "id": "order-1"})["status"] == "paused"
    assert api.post("workflows/resume", {"workflow": "order-flow", "id": "order-1"})["status"] in ("queued", "waiting")


def test_faults_strike_as_often_as_they_should(api: Api) -> None:
    def settled(fault: dict[str, Any]) -> tuple[str, list[str]]:
        rule = api.post("faults/add", {"queue": "jobs", "times": 1, **fault})["fault"]
        known = {row["id"] for row in api.find("", queue="jobs")}
        api.post("queues/jobs/send", {"text": "{}"})
        # At the moment at which it is settled it stands neither with those that live nor in the record.
        rows = api.until("messages?queue=jobs", lambda found: {row["id"] for row in found["rows"]} - known)["rows"]
        (message,) = {row["id"] for row in rows} - known
        api.advance(1)
        api.advance(60)
        row = api.get(f"messages/{message}")
        (now,) = [one for one in api.get("faults")["faults"] if one["id"] == rule["id"]]
        assert (now["struck"], now["left"]) == (1, 0)
        api.post("faults/remove", {"id": rule["id"]})
        return row["state"], [attempt["reason"] for attempt in row["attempts"]]

    assert settled({"kind": "fail"}) == ("acked", ["exception", "handler returned"])
    assert settled({"kind": "duplicate"}) == ("acked", ["ack lost", "handler returned"])
    assert settled({"kind": "slow", "ms": 30}) == ("acked", ["handler returned"])
    assert api.get("faults")["faults"] == []
    for wrong in ({"kind": "drop"}, {"kind": "fail", "percent": 0}, {"kind": "slow"}, {"kind": "fail", "ms": 5}):
        api.post("faults/add", {"queue": "jobs", **wrong}, 400)
    api.post("faults/add", {"queue": "jobs-dead", "kind": "fail"}, 404)


def test_what_the_page_does_to_messages_faults_and_alarms_commands_do_too(api: Api, project: Project) -> None:
    for body in "12":
        api.post("queues/jobs-dead/send", {"text": body})
    ids = [row["id"] for row in api.find("", queue="jobs-dead")]
    done = project.wpy("queues", "discard", "jobs-dead", ids[0], "f" * 32, "--json")
    assert (done.code, done.json) == (
        1,
        {"queue_name": "jobs-dead", "discarded": 1, "in_flight": [], "unknown": ["f" * 32]},
    )
    api.until(f"messages/{ids[0]}", lambda shown: shown["state"] == "discarded")
    token = api.post("messages/discard", {"ids": ids[1:]})["undo"]
    assert project.wpy("queues", "undo", "--json", "--", token).json == {"restored": 1}
    assert [row["id"] for row in api.find("", queue="jobs-dead", state="dead,ready")] == [ids[1]]
    again = project.wpy("queues", "undo", "--", token)
    assert again.code == 1 and "nothing to take back" in again.err
    assert project.wpy("queues", "discard", "jobs-dead", ids[1]).out.startswith("1 message of queue")

    fault = project.wpy("faults", "add", "jobs", "slow", "--ms", "5", "--times", "2", "--json").json
    assert project.wpy("faults", "list", "--json").json == [fault] == api.get("faults")["faults"]
    assert "slow 5 ms" in project.wpy("faults", "list").out
    assert project.wpy("faults", "remove", str(fault["id"]), "--json").json == {"id": fault["id"]}
    assert project.wpy("faults", "list", "--json").json == []
    wrong = project.wpy("faults", "add", "jobs", "explode")
    assert wrong.code == 1 and "`kind` must be one of" in wrong.err

    (alarm,) = project.wpy("alarms", "list", "--json").json
    assert (alarm["worker"], alarm["class"], alarm["name"]) == ("app", "Room", "lobby")
    assert "lobby" in project.wpy("alarms", "list").out
    which = {"worker": "app", "namespace": "Room", "objectId": alarm["id"]}
    line = api.reply("alarms/run", {**which, "preview": True}).json()["also"]["cli"]
    assert line == f"wpy alarms run app Room {alarm['id']}"
    assert project.wpy(*line.split()[1:], "--json").json == {"outcome": "ok", "error": None}
    assert project.wpy("alarms", "list", "--json").json == []
    gone = project.wpy(*line.split()[1:])
    assert gone.code == 1 and "has no alarm" in gone.err
    assert api.server.get("/enter").text == "entered"
    canceled = project.wpy("alarms", "cancel", "app", "Room", alarm["id"], "--json").json
    assert canceled["name"] == "lobby" and project.wpy("alarms", "list").out == "No alarm waits.\n"
    api.server.get("/enter")
    api.post("alarms/cancel", which)
    assert api.get("alarms") == {"alarms": []}


#: Calls with lines to copy, and what each line is for.
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("queues/jobs/send", {"text": '{"a": "it\'s"}', "contentType": "json"}),
    ("queues/jobs/send", {"text": '{"n": {{i}}}', "contentType": "json", "count": 2}),
    ("queues/jobs/pause", {}),
    ("queues/jobs/resume", {}),
    ("queues/jobs-dead/redrive", {}),
    ("crons/trigger", {"cron": "0 4 * * *", "worker": "app", "timeMs": 1772337600000}),
    ("crons/pause", {}),
    ("crons/resume", {}),
    ("crons/backfill", {"cron": "0 4 * * *", "worker": "app", "fromMs": 1772200000000, "toMs": 1772337600000}),
    ("clock/advance", {"seconds": 5}),
    ("clock/next", {}),
    ("clock/freeze", {}),
    ("state/kv/put", {"namespace": "cache/one", "key": "copied", "text": "a b"}),
    ("state/kv/delete", {"namespace": "cache/one", "keys": ["copied"]}),
    ("state/d1/query", {"database": "shop-id", "sql": "SELECT 1"}),
    ("state/r2/put", {"bucket": "files", "key": "copied", "text": "it's"}),
    ("state/r2/delete", {"bucket": "files", "keys": ["copied"]}),
    ("workflows/pause", {"workflow": "order-flow", "id": "order-1"}),
    ("workflows/resume", {"workflow": "order-flow", "id": "order-1"}),
]


def test_the_lines_to_copy_run_as_they_are(api: Api, project: Project, tmp_path: Path) -> None:
    api.post("queues/jobs-dead/send", {"text": '{"dead": 1}'})
    message = api.find("", queue="jobs-dead")[0]["id"]
    calls = [
        ("messages/replay", {"ids": [message]}),
        ("messages/retry", {"ids": [message]}),
        *CALLS,
        ("messages/discard", {"ids": [message]}),
        ("faults/add", {"queue": "jobs", "kind": "slow", "percent": 50, "times": 1, "ms": 5}),
        ("faults/remove", {"id": api.post("faults/add", {"queue": "jobs", "kind": "fail"})["fault"]["id"]}),
    ]
    # A shell as a person has it: `wpy` on the path, in the folder of the project.
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "wpy").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m wrangler_py "$@"\n')
    (bin_folder / "wpy").chmod(0o755)
    env = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"}

    def run(line: str) -> str:
        done = subprocess.run(
            ["sh", "-c", line], cwd=project.folder, env=env, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        return done.stdout

    tests, without_cli = [], set()
    for path, body in calls:
        also = api.reply(path, {**body, "preview": True}).json()["also"]
        without_cli |= {path} if also["cli"] is None else set()
        if also["cli"] is not None:
            run(also["cli"])
        if also["pytest"]:
            tests.append(also["pytest"])
    # The form of a curl line is the same for all: one that changes something shows that it works.
    curl = api.reply(
        "state/kv/put", {"namespace": "cache/one", "key": "from page", "text": "by curl's", "preview": True}
    )
    assert '"ok": true' in run(curl.json()["also"]["curl"]) and api.server.get("/cached").text == "by curl's"
    assert not without_cli
    # And the lines for tests, as one test.
    project.write(
        "test_copied.py",
        "async def test_copied(wpy):\n" + "".join(f"    {line}\n" for text in tests for line in text.splitlines()),
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_copied.py"],
        cwd=project.folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, (tests, done.stdout[-3000:])
    assert API in curl.json()["also"]["curl"]
