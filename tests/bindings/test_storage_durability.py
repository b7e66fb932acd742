"""What KV, D1 and R2 have said yes to is there after `kill -9` under load, whole; and after a restart, for other processes
too, and as the clock moves."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from session_project import Project

CONFIG = """
kv_namespaces = [{ binding = "KV" }]
d1_databases = [{ binding = "DB", database_name = "app" }]
r2_buckets = [{ binding = "BUCKET", bucket_name = "files" }]
"""
WORKER = """
    import hashlib
    from urllib.parse import parse_qs, urlsplit
    from workers import Response, WorkerEntrypoint

    def body(number):
        return f"{number:08}" * 20_000   # 160 kB: a file of its own

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            url = urlsplit(request.url)
            given = {name: values[0] for name, values in parse_qs(url.query).items()}
            return Response.json(await getattr(self, url.path[1:])(self.env, **given))

        async def start(self, env):
            await env.DB.exec("CREATE TABLE pairs (number INTEGER PRIMARY KEY, twin INTEGER)")

        async def write(self, env, number):
            n = int(number)
            await env.KV.put(f"k{n}", f"{n:08}" * 1000, metadata={"n": n})
            # A torn batch would leave one of two; a torn object would not match its etag.
            insert = env.DB.prepare("INSERT INTO pairs (number, twin) VALUES (?, ?)")
            await env.DB.batch([insert.bind(2 * n, 2 * n + 1), insert.bind(2 * n + 1, 2 * n)])
            await env.BUCKET.put("shared", body(n), customMetadata={"n": str(n)})
            await env.BUCKET.put(f"o{n}", body(n), customMetadata={"n": str(n)})
            return n

        async def check(self, env, below):
            numbers = range(int(below))
            missing, torn = {"kv": [], "d1": [], "r2": []}, []
            rows = (await env.DB.prepare("SELECT number, twin FROM pairs").all()).results
            pairs = {row.number: row.twin for row in rows}
            torn += [f"d1 {number}" for number, twin in pairs.items() if pairs.get(twin) != number]
            for n in numbers:
                found = await env.KV.getWithMetadata(f"k{n}")
                if found.value is None:
                    missing["kv"].append(n)
                elif found.value != f"{n:08}" * 1000 or found.metadata.n != n:
                    torn.append(f"kv {n}")
                if 2 * n not in pairs:
                    missing["d1"].append(n)
            for key in [f"o{n}" for n in numbers] + ["shared"]:
                got = await env.BUCKET.get(key)
                if got is None:
                    missing["r2"].append(int(key[1:]))
                    continue
                text = await got.text()
                if text != body(int(got.customMetadata.n)) or hashlib.md5(text.encode()).hexdigest() != got.etag:
                    torn.append(f"r2 {key}")
            return {"missing": missing, "torn": torn}

        async def put(self, env, key, ttl):
            await env.KV.put(key, "x", expirationTtl=int(ttl))

        async def get(self, env, key):
            return await env.KV.get(key)
"""


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    project.config(CONFIG)
    project.code(WORKER)
    yield project
    project.stop()


def test_kill_9_under_load(project: Project):
    server = project.start("--no-reload")
    assert server.get("/start").status == 200
    counter, acknowledged = itertools.count(), set[int]()

    def write() -> None:
        try:
            while True:
                number = next(counter)
                if server.get(f"/write?number={number}").status != 200:
                    return
                acknowledged.add(number)
        except OSError:
            pass  # the session was killed

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    deadline = time.monotonic() + 60
    while len(acknowledged) < 40 and time.monotonic() < deadline:
        time.sleep(0.01)
    server.destroy()
    for writer in writers:
        writer.join()
    begun = next(counter)
    assert len(acknowledged) >= 40

    server = project.start("--no-reload")
    found = server.get(f"/check?below={begun}").json()
    assert found["torn"] == []
    lost = {kind: acknowledged & set(numbers) for kind, numbers in found["missing"].items()}
    assert lost == {"kv": set(), "d1": set(), "r2": set()}

    # The files of objects that were replaced are gone, but for what the killed process had half done.
    blobs = list((project.state / "r2" / "files" / "blobs").iterdir())
    assert len(blobs) <= begun + 1 + 2 * len(writers)


def test_other_processes_and_the_clock(project: Project):
    server = project.start("--no-reload", "--clock", "virtual", "--now", "2026-03-01T00:00:00Z")
    assert server.get("/put?key=short&ttl=60").status == 200
    assert server.get("/put?key=long&ttl=3600").status == 200
    assert project.wpy("kv", "key", "get", "short", "--binding", "KV").out == "x"
    assert project.wpy("kv", "key", "put", "theirs", "y", "--ttl", "100", "--binding", "KV").code == 0
    assert server.get("/get?key=theirs").json() == "y"
    listed = project.wpy("kv", "key", "list", "--binding", "KV").json
    assert {key["name"]: key["expiration"] for key in listed} == {
        "long": 1772323200 + 3600,
        "short": 1772323200 + 60,
        "theirs": 1772323200 + 100,
    }
    assert project.wpy("clock", "advance", "61s").code == 0
    assert server.get("/get?key=short").json() is None
    assert server.get("/get?key=long").json() == "x"
    done = project.wpy("kv", "key", "get", "short", "--binding", "KV")
    assert (done.code, done.out) == (1, "") and "Value not found" in done.err
    assert [key["name"] for key in project.wpy("kv", "key", "list", "--binding", "KV").json] == ["long", "theirs"]
