"""Rate limits, Analytics Engine, Secrets Store, version metadata, Hyperdrive, email, mTLS, and what is not served."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from dev_server import DevServer
from session_project import Project

CONFIG = """
version_metadata = { binding = "VERSION" }
ratelimits = [{ name = "RL", namespace_id = "1", simple = { limit = 2, period = 60 } }]
analytics_engine_datasets = [{ binding = "AE", dataset = "clicks" }]
hyperdrive = [
  { binding = "HD", id = "x", localConnectionString = "postgres://me:p%40ss@db.local:6000/main" },
]
secrets_store_secrets = [
  { binding = "SECRET", store_id = "s1", secret_name = "token" },
  { binding = "LOST", store_id = "s1", secret_name = "none" },
]
mtls_certificates = [{ binding = "CERT", certificate_id = "c" }]
send_email = [
  { name = "EMAIL", allowed_destination_addresses = ["a@example.com"] },
]
ai = { binding = "AI" }
vectorize = [{ binding = "V", index_name = "i" }]
"""

WORKER = """
    from workers import Request, Response, WorkerEntrypoint
    from workers.rpc import _BindingWrapper, _FetcherWrapper

    async def failure(call):
        try:
            result = call()
            if hasattr(result, "__await__"):
                result = await result
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return f"no error, but {result!r}"

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            return Response.json(await getattr(self, request.url.rsplit("/", 1)[1])(self.env))

        async def rates(self, env):
            assert isinstance(env.RL, _BindingWrapper)
            given = [(await env.RL.limit(key="a")).success, (await env.RL.limit({"key": "a"})).success,
                     (await env.RL.limit({"key": "a"}))["success"], (await env.RL.limit({"key": "b"})).success]
            return given + [await failure(lambda: env.RL.limit({"key": 5})),
                await failure(lambda: env.RL.limit({"kye": "a"})), await failure(lambda: env.RL.limit())]

        async def analytics(self, env):
            assert isinstance(env.AE, _BindingWrapper)
            assert env.AE.writeDataPoint({"blobs": ["GET", "/x", None], "doubles": [1, 2.5], "indexes": ["me"]}) is None
            env.AE.writeDataPoint({})
            env.AE.writeDataPoint(blobs=["b"])
            return [await failure(lambda: env.AE.writeDataPoint({"indexes": ["a", "b"]})),
                await failure(lambda: env.AE.writeDataPoint({"blobs": ["x"] * 21})),
                await failure(lambda: env.AE.writeDataPoint({"indexes": ["x" * 97]}))]

        async def settings(self, env):
            assert isinstance(env.CERT, _FetcherWrapper)
            hd = env.HD
            return {"version": [env.VERSION.id, env.VERSION.tag, env.VERSION.timestamp],
                "hyperdrive": [hd.connectionString, hd.host, hd.port, hd.user, hd.password, hd.database],
                "secret": await env.SECRET.get(), "lost": await failure(lambda: env.LOST.get())}

        async def email(self, env):
            sent = await env.EMAIL.send({"from": "me@example.com", "to": "a@example.com", "subject": "Hi", "text": "yo"})
            return [sent.messageId, await failure(lambda: env.EMAIL.send({"from": "x@y.z", "to": "b@example.com"})),
                await failure(lambda: env.EMAIL.send({"to": "a@example.com"}))]

        async def unserved(self, env):
            assert isinstance(env.V, _BindingWrapper) and isinstance(env.AI, _BindingWrapper)
            return [await failure(lambda: env.AI.run("model", {})), await failure(lambda: env.V.query([1])),
                    hasattr(env, "NOPE"), await failure(lambda: env.NOPE)]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("small"))
    project.config(CONFIG)
    project.code(WORKER)
    return project


@pytest.fixture(scope="module")
def session(project: Project) -> Iterator[DevServer]:
    created = project.wpy("secrets-store", "secret", "create", "s1", "--name", "token", stdin="hush\n")
    assert created.code == 0, created.err
    yield project.start("--clock", "virtual", "--now", "2026-01-01T00:00:00Z")
    project.stop()


def test_rate_limits(session: DevServer, project: Project) -> None:
    assert session.get("/rates").json() == [
        True, True, False, True,
        "JsException: Error: invalid key: 5", "JsException: Error: bad rate limit options: [kye]",
        "JsException: Error: invalid rate limit options",
    ]  # fmt: skip
    assert session.get("/rates").json()[0] is False
    assert project.wpy("clock", "advance", "60s").code == 0
    assert session.get("/rates").json()[0] is True, "a new window"


def test_data_points_are_kept(session: DevServer, project: Project) -> None:
    assert session.get("/analytics").json() == [
        "JsException: TypeError: writeDataPoint(): Maximum of 1 indexes supported.",
        "JsException: TypeError: writeDataPoint(): Maximum of 20 blobs supported.",
        "JsException: TypeError: writeDataPoint(): Size of indexes[0] exceeds 96 bytes).",
    ]
    listed = project.wpy("analytics-engine", "points", "clicks", "--json")
    assert listed.code == 0, listed.err
    points = listed.json
    assert [(point["index"], point["blobs"], point["doubles"]) for point in points] == [
        ("me", ["GET", "/x", None], [1.0, 2.5]), (None, [], []), (None, ["b"], []),
    ]  # fmt: skip
    assert points[0]["worker"] == "app" and points[0]["timestamp"].startswith("2026-01-01T00:0")
    assert project.wpy("analytics-engine", "datasets", "--json").json == [{"dataset": "clicks", "points": 3}]


def test_settings(session: DevServer) -> None:
    got = session.get("/settings").json()
    assert len(got["version"][0]) == 36 and got["version"][1] == "" and got["version"][2].endswith("Z")
    assert got["hyperdrive"] == [
        "postgres://me:p%40ss@db.local:6000/main", "db.local", 6000, "me", "p@ss", "main"
    ]  # fmt: skip
    assert got["secret"] == "hush"
    assert got["lost"] == 'JsException: Error: Secret "none" not found'


def test_email_is_kept_and_told(session: DevServer) -> None:
    message_id, refused, no_sender = session.get("/email").json()
    assert message_id.endswith("@wpy.local>")
    assert refused == "JsException: Error: email to b@example.com not allowed"
    assert no_sender == "JsException: TypeError: send(): the message has no `from`"
    session.wait_for(r"env\.EMAIL: email to a@example\.com kept, not sent: Hi")


def test_what_is_not_served_says_so(session: DevServer) -> None:
    ai, vectorize, has, missing = session.get("/unserved").json()
    assert ai.startswith(
        "JsException: Error: wpy does not serve the binding env.AI (AI) yet: it runs at Cloudflare only."
    )
    assert "env.V (Vectorize Index)" in vectorize
    assert (has, missing) == (False, "AttributeError: NOPE")


def test_secrets_are_listed_and_deleted(project: Project) -> None:
    assert project.wpy("secrets-store", "secret", "create", "s2", "--name", "a", "--value", "1").code == 0
    listed = project.wpy("secrets-store", "secret", "list", "s2", "--json")
    assert [secret["name"] for secret in listed.json] == ["a"] and "1" not in json.dumps(listed.json[0]["name"])
    assert project.wpy("secrets-store", "secret", "delete", "s2", "--name", "a").code == 0
    missing = project.wpy("secrets-store", "secret", "get", "s2", "--name", "a")
    assert missing.code == 1 and 'The store "s2" has no secret "a"' in missing.err
