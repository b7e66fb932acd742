"""What works here and would not on Cloudflare is said."""

from __future__ import annotations

import sys
from pathlib import Path

from session_project import Project

WORKER = """
    import os, random, secrets, threading, uuid
    from random import choice
    from pathlib import Path
    from workers import Response, WorkerEntrypoint

    TOKEN = secrets.token_hex(8)
    PICKED = choice([1, 2])
    ID = uuid.uuid4()
    random.seed(5)

    class Settings:
        salt = os.urandom(4)

    class Default(WorkerEntrypoint):
        number = staticmethod(random.random)

        async def fetch(self, request):
            if request.url.endswith("/files"):
                Path("data.json").read_text()
                return Response(open("text.txt").read() + open("kept.csv").read())
            if request.url.endswith("/thread"):
                for _ in range(2):
                    thread = threading.Thread(target=random.random)
                    thread.start()
                    thread.join()
                return Response("joined")
            if request.url.endswith("/vendored"):
                import compiled
            return Response(str(random.random()))
"""


def test_what_cloudflare_would_refuse_is_said(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.config('[[rules]]\ntype = "Data"\nglobs = ["**/*.csv"]\n')
    project.code(WORKER)
    for name in ("data.json", "text.txt", "kept.csv"):
        project.write(name, name)
    project.write("python_modules/compiled/__init__.py", "from compiled import _core")
    project.write("python_modules/compiled/_core.cpython-313-wasm32-emscripten.so", "")
    with project.server() as server:
        for what in ("secrets.token_hex()", "random.choice()", "uuid.uuid4()", "os.urandom()"):
            server.wait_for(rf"src/entry\.py:\d+: {what[:-2]}\(\) runs while the module is imported")
        assert not server.find(r"random\.(seed|random)\(\) runs")
        if sys.version_info[:2] != (3, 13):
            server.wait_for(
                r"Python 3\.\d+ runs this Worker here, Cloudflare runs 3\.13 for the compatibility date 2026-03-01"
            )
        assert server.get("/thread").text == "joined"
        server.wait_for(r"src/entry\.py:\d+ starts a thread: Cloudflare raises RuntimeError")
        assert server.get("/files").text == "text.txtkept.csv"
        server.wait_for(r"src/entry\.py:\d+ reads data\.json, which is not part of the bundle")
        assert len(server.find("starts a thread")) == 1
        assert not server.find(r"reads (text\.txt|kept\.csv)")
        broken = server.get("/vendored")
        assert broken.status == 500
        assert "python_modules/compiled is compiled for Pyodide (emscripten), which CPython cannot load" in broken.text
        assert server.get("/").status == 200


def test_a_src_prefix_is_refused_with_workerds_note(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.config()
    project.write("src/helper.py", "")
    project.code("import src.helper")
    with project.server() as server:
        server.wait_for(r"ModuleNotFoundError: No module named 'src'")
        server.wait_for("your import statement shouldn't include a 'src.' prefix")
