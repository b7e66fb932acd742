"""KV, D1 and R2 in a session: pytest with pytest-asyncio runs inside the fetch handler, as Cloudflare's own suites do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from dev_server import DevServer
from session_project import Project

INSIDE = Path(__file__).parent / "inside"
CONFIG = """
kv_namespaces = [{ binding = "KV" }, { binding = "OTHER", id = "11112222" }]
d1_databases = [{ binding = "DB", database_name = "app" }]
r2_buckets = [{ binding = "BUCKET", bucket_name = "files" }]
"""
WORKER = """
    import asyncio, io, sys
    from contextlib import redirect_stdout
    from pathlib import Path
    from pyodide.webloop import WebLoop
    from workers import Response, WorkerEntrypoint
    import pytest

    async def noop(*args):
        pass

    WebLoop.shutdown_asyncgens = noop
    WebLoop.shutdown_default_executor = noop
    if sys.version_info < (3, 13):
        asyncio.runners._cancel_all_tasks = lambda loop: None

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            name = request.url.rsplit("/", 1)[1]
            if name == "upload":
                made = await self.env.BUCKET.put("uploaded", request.js_object.body)
                return Response.json({"size": made.size, "etag": made.etag})
            if name == "download":
                return Response((await self.env.BUCKET.get("uploaded")).body)
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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    project = Project(tmp_path_factory.mktemp("storage"))
    project.config(CONFIG)
    project.code(WORKER)
    for file in INSIDE.glob("*_inside.py"):
        shutil.copy(file, project.folder / "src" / file.name)
    server = project.start("--no-reload")
    yield server
    project.stop()


@pytest.mark.parametrize("kind", ["kv", "d1", "r2"])
def test_inside(server: DevServer, kind: str):
    code, _, output = server.get(f"/{kind}").text.partition("\n")
    assert code == "0", output
    assert " passed" in output


def test_bindings_in_the_start_table(server: DevServer):
    assert server.find(r"env\.OTHER \(11112222\) +KV Namespace +local")
    assert server.find(r"env\.DB \(app\) +D1 Database +local")
    assert server.find(r"env\.BUCKET \(files\) +R2 Bucket +local")


def test_a_request_body_goes_into_an_object_and_comes_back(server: DevServer):
    data = bytes(range(256)) * 20_000
    assert server.post("/upload", body=data).json()["size"] == len(data)
    assert server.get("/download").body == data
