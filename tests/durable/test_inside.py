"""pytest with pytest-asyncio inside of the fetch handler, as Cloudflare's own suites run, on Durable Objects and workflows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from dev_server import DevServer
from session_project import Project
from websockets.sync.client import connect

INSIDE = Path(__file__).parent / "inside"
CONFIG = """
    [[durable_objects.bindings]]
    name = "COUNTER"
    class_name = "Counter"
    [[durable_objects.bindings]]
    name = "OTHER"
    class_name = "Other"
    script_name = "sibling"
    [[migrations]]
    tag = "v1"
    new_sqlite_classes = ["Counter"]
    [[workflows]]
    binding = "WF"
    name = "inside"
    class_name = "Inside"
"""
CODE = """
    import asyncio, io, sys, time
    from contextlib import redirect_stdout
    from pathlib import Path
    from pyodide.webloop import WebLoop
    from workers import DurableObject, Response, WorkerEntrypoint, WorkflowEntrypoint
    from workers.entrypoints import DurableObjectContext
    from workers.rpc import _BindingWrapper
    import pytest

    async def noop(*args):
        pass

    WebLoop.shutdown_asyncgens = noop
    WebLoop.shutdown_default_executor = noop
    if sys.version_info < (3, 13):
        asyncio.runners._cancel_all_tasks = lambda loop: None

    class Counter(DurableObject):
        async def add(self, by):
            by = by["by"] if isinstance(by, dict) else by
            value = (await self.ctx.storage.get("value") or 0) + by
            await self.ctx.storage.put("value", value)
            return value
        async def echo(self, value):
            return value
        async def context(self):
            known = isinstance(self.ctx, DurableObjectContext), isinstance(self.ctx.storage, _BindingWrapper)
            return [*known, self.ctx.id.name]
        async def fail(self):
            raise ValueError("from inside")
        async def store(self):
            sql = self.ctx.storage.sql
            sql.exec("create table people(id integer primary key, name text)")
            for name in ("ada", "bob"):
                sql.exec("insert into people(name) values(?)", name)
            return [dict(row) for row in sql.exec("select * from people order by id")]
        async def keys(self):
            await self.ctx.storage.put({"a": 1, "b": [2]})
            return await self.ctx.storage.get(["a", "b", "none"])
        async def set_alarm(self, ms):
            await self.ctx.storage.setAlarm(int(time.time() * 1000) + ms)
        async def alarm(self, info):
            await self.ctx.storage.put("fired", [info.retryCount, info.isRetry])
        async def fired(self):
            return await self.ctx.storage.get("fired")
        async def fetch(self, request):
            return Response(f"{request.method} {request.url} {await request.text()}", status=201)

    class Inside(WorkflowEntrypoint):
        async def run(self, event, step):
            params = event["payload"]
            if params.get("wait"):
                return (await step.wait_for_event("wait", "go"))["payload"]
            @step.do("double")
            async def double():
                return {"doubled": params.get("n", 0) * 2, "list": [1, None]}
            return await double()

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            name = request.url.rsplit("/", 1)[1]
            if name == "socket":
                return await self.env.OTHER.getByName("far").fetch(request.js_object)
            running = asyncio.events._get_running_loop()
            output = io.StringIO()
            try:
                with redirect_stdout(output):
                    code = pytest.main([str(Path(__file__).parent / f"{name}_inside.py"), "-q", "-p", "no:cacheprovider",
                                        "-p", "no:xdist", "-p", "no:cov", "-o", "asyncio_mode=auto", "-o", "addopts="])
            finally:
                asyncio.events._set_running_loop(running)
            return Response(f"{int(code)}\\n{output.getvalue()}")
"""
SIBLING_CONFIG = """
    [[durable_objects.bindings]]
    name = "OWN"
    class_name = "Other"
    [[migrations]]
    tag = "v1"
    new_sqlite_classes = ["Other"]
"""
SIBLING = """
    from js import WebSocketPair
    from workers import DurableObject, Response, WorkerEntrypoint
    class Other(DurableObject):
        async def hello(self, name):
            return f"hello {name} from {self.ctx.id.name}"
        async def call(self, function):
            return await function(7)
        async def fetch(self, request):
            if request.headers.get("upgrade"):
                client, server = WebSocketPair.new().object_values()
                self.ctx.acceptWebSocket(server)
                return Response(None, status=101, web_socket=client)
            return Response("fetched /" + request.url.rsplit("/", 1)[1])
        async def webSocketMessage(self, ws, message):
            ws.send(f"{self.ctx.id.name} got {message}")
        async def webSocketClose(self, ws, code, reason, clean):
            print("far closed", code, reason)
    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            return Response("sibling")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    folder = tmp_path_factory.mktemp("inside")
    project, sibling = Project(folder / "main"), Project(folder / "sibling")
    project.config(CONFIG)
    project.write("src/entry.py", CODE)
    sibling.config(SIBLING_CONFIG, name="sibling")
    sibling.write("src/entry.py", SIBLING)
    for file in INSIDE.glob("*_inside.py"):
        shutil.copy(file, project.folder / "src" / file.name)
    with project.server("-c", "wrangler.toml", "-c", "../sibling/wrangler.toml", "--no-cron") as running:
        yield running


@pytest.mark.parametrize("name", ["objects", "workflows"])
def test_suite(server: DevServer, name: str) -> None:
    code, _, output = server.get(f"/{name}").text.partition("\n")
    assert code == "0", output


def test_a_socket_of_a_siblings_object(server: DevServer) -> None:
    with connect(server.url.replace("http", "ws", 1) + "/socket", open_timeout=10) as socket:
        socket.send("hello")
        assert socket.recv(5) == "far got hello"
        socket.close(4002, "enough")
    server.wait_for("far closed 4002 enough")
