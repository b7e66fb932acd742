"""Consumers through the REST API, beside those that the session's config names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .api import Api, session

WORKER_DEFAULTS = {
    "batch_size": 10,
    "max_retries": 3,
    "max_wait_time_ms": 5000,
    "max_concurrency": None,
    "retry_delay": 0,
}
PULL_DEFAULTS = {"batch_size": 5, "max_retries": 3, "visibility_timeout_ms": 30_000, "retry_delay": 0}


def test_a_worker_consumer(api: Api) -> None:
    queue = api.queue()
    made = queue.post("/consumers", {"type": "worker", "script_name": "elsewhere", "environment_name": ""})
    consumer = made.result
    assert re.fullmatch("[0-9a-f]{32}", consumer["consumer_id"])
    assert consumer == {
        "consumer_id": consumer["consumer_id"],
        "created_on": consumer["created_on"],
        "queue_name": queue.name,
        "queue_id": queue.id,
        "type": "worker",
        "dead_letter_queue": "",
        "script": "elsewhere",
        "script_name": "elsewhere",
        "settings": WORKER_DEFAULTS,
    }
    assert queue.get("/consumers").result == [consumer]
    assert queue.get(f"/consumers/{consumer['consumer_id']}").result == consumer
    described = queue.get().result
    assert (described["consumers"], described["consumers_total_count"]) == ([consumer], 1)
    assert queue.call("DELETE", f"/consumers/{consumer['consumer_id']}").result is None
    assert queue.get("/consumers").result == []


def test_a_pull_consumer(api: Api) -> None:
    queue = api.queue()
    consumer = queue.post("/consumers", {"type": "http_pull"}).result
    assert consumer["settings"] == PULL_DEFAULTS
    assert "script" not in consumer
    settings = {"batch_size": 7, "max_retries": 2, "visibility_timeout_ms": 12_000, "retry_delay": 3}
    path = f"/consumers/{consumer['consumer_id']}"
    put = queue.call("PUT", path, {"type": "http_pull", "settings": settings, "dead_letter_queue": "put-dlq"}).result
    assert put["settings"] == settings
    assert (put["consumer_id"], put["created_on"]) == (consumer["consumer_id"], consumer["created_on"])
    assert put["dead_letter_queue"] == "put-dlq"
    assert queue.call("PUT", path, {"type": "http_pull"}).result == consumer


def test_one_consumer_a_queue_106(api: Api) -> None:
    """106"""
    for first in ({"type": "http_pull"}, {"type": "worker", "script_name": "a"}):
        queue = api.queue()
        queue.post("/consumers", first)
        for second in ({"type": "http_pull"}, {"type": "worker", "script_name": "a"}):
            refused = queue.post("/consumers", second)
            assert refused.error["code"] == 11004
            assert refused.error["message"] == f"Queue '{queue.name}' already has a consumer."
        assert len(queue.get("/consumers").result) == 1
    jobs = api.existing("jobs")
    for second in ({"type": "http_pull"}, {"type": "worker", "script_name": "app"}):
        assert jobs.post("/consumers", second).error["code"] == 11004


def test_a_missing_dead_letter_queue_is_created(api: Api) -> None:
    queue = api.queue()
    made = queue.post("/consumers", {"type": "http_pull", "dead_letter_queue": "new-dead-letters"}).result
    assert made["dead_letter_queue"] == "new-dead-letters"
    assert api.existing("new-dead-letters").backlog() == (0, 0)


def test_a_dead_letter_queue_that_cannot_be(api: Api) -> None:
    queue = api.queue()
    itself = queue.post("/consumers", {"type": "http_pull", "dead_letter_queue": queue.name})
    assert itself.error["code"] == 100127
    assert itself.error["message"] == f'Dead letter queue for queue "{queue.name}" cannot be itself'
    assert queue.post("/consumers", {"type": "http_pull", "dead_letter_queue": "Bad!"}).error["code"] == 11003
    assert queue.get("/consumers").result == []


@pytest.mark.parametrize(
    "setting",
    [
        {"batch_size": 0},
        {"batch_size": 101},
        {"max_retries": -1},
        {"max_retries": 101},
        {"max_retries": 1.5},
        {"retry_delay": 86_401},
        {"retry_delay": "1"},
        {"max_wait_time_ms": 60_001},
        {"max_wait_time_ms": None},
        {"max_concurrency": 0},
        {"max_concurrency": 251},
        {"visibility_timeout_ms": 43_200_001},
        {"visibility_timeout_ms": -1},
        {"batch_size": {}},
        {"batch_size": 10**400},
    ],
)
def test_settings_out_of_range(api: Api, setting: dict) -> None:
    (name,) = setting
    queue = api.queue()
    kind = "http_pull" if name == "visibility_timeout_ms" else "worker"
    if setting == {"batch_size": 10**400}:
        refused = queue.post("/consumers", {"type": kind, "script_name": "a", "settings": setting})
        assert (refused.status, refused.error["code"]) == (400, 10026)
        return
    refused = queue.post("/consumers", {"type": kind, "script_name": "a", "settings": setting})
    assert (refused.status, refused.error["code"]) == (400, 100127)
    assert name in refused.error["message"]
    assert queue.get("/consumers").result == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"type": "notification"},
        {"type": None},
        {"type": "worker"},
        {"type": "worker", "script_name": ""},
        {"type": "worker", "script_name": 5},
        {"type": "http_pull", "settings": []},
        {"type": "http_pull", "dead_letter_queue": 5},
        {"type": "http_pull", "dead_letter_queue": "\ud800"},
        {"type": "worker", "script_name": "\ud800"},
        [],
    ],
)
def test_wrong_shapes(api: Api, body: object) -> None:
    queue = api.queue()
    refused = queue.post("/consumers", body)
    assert (refused.status, refused.error["code"]) == (400, 10026)
    assert queue.get("/consumers").result == []


def test_unknown_consumer(api: Api) -> None:
    queue, other = api.pull_queue(), api.pull_queue()
    foreign = other.get("/consumers").result[0]["consumer_id"]
    for consumer_id in ("0" * 32, "nix", foreign):
        path = f"/consumers/{consumer_id}"
        for answer in (
            queue.get(path),
            queue.call("DELETE", path),
            queue.call("PUT", path, {"type": "http_pull"}),
        ):
            assert (answer.status, answer.error["code"]) == (404, 11006)
    assert len(other.get("/consumers").result) == 1


# What runs is what the config says ------------------------------------------------------------------------------------


def test_a_consumer_of_the_config(own_api: Api) -> None:
    api = own_api
    jobs = api.existing("jobs")
    (listed,) = jobs.get("/consumers").result
    assert listed["settings"] == {**WORKER_DEFAULTS, "max_wait_time_ms": 0}
    path = f"/consumers/{listed['consumer_id']}"
    assert jobs.get(path).result == listed

    refused = jobs.call("DELETE", path)
    assert refused.status == 400
    assert "queues.consumers" in refused.error["message"]

    same = jobs.call("PUT", path, {"type": "worker", "script_name": "app", "settings": {"max_wait_time_ms": 0}})
    assert same.result["settings"] == listed["settings"]
    assert same.notes == []
    other = jobs.call("PUT", path, {"type": "worker", "script_name": "app", "settings": {"batch_size": 1}})
    assert other.result["settings"] == listed["settings"]  # it goes on as it was, and says so
    assert len(other.notes) == 1 and "config" in other.notes[0]
    api.server.wait_for("goes on with the settings of its config")
    assert [c["consumer_id"] for c in jobs.get("/consumers").result] == [listed["consumer_id"]]

    assert jobs.call("PUT", path, {"type": "worker", "script_name": "b"}).error["code"] == 11004
    assert jobs.call("PUT", path, {"type": "http_pull"}).error["code"] == 11004


def test_a_worker_consumer_made_here_starts_nothing_and_says_so(own_api: Api) -> None:
    api = own_api
    queue = api.queue()
    made = queue.post("/consumers", {"type": "worker", "script_name": "app", "settings": {"max_wait_time_ms": 0}})
    assert len(made.notes) == 1 and "queues.consumers" in made.notes[0]
    api.server.wait_for(f"Worker 'app' gets nothing from queue '{queue.name}' yet")
    queue.push({"n": 1})
    api.advance(60)
    assert api.handled() == []
    assert queue.backlog() == (1, 7)


def test_a_config_that_names_the_stored_consumer(tmp_path: Path) -> None:
    """One consumer, not two: the stored one's id, the config's settings."""
    with session(tmp_path / "project") as api:
        queue = api.queue("late")
        stored = queue.post(
            "/consumers", {"type": "worker", "script_name": "app", "settings": {"batch_size": 7}}
        ).result
        queue.push({"n": 1})
        config = tmp_path / "project" / "wrangler.toml"
        config.write_text(config.read_text() + '[[queues.consumers]]\nqueue = "late"\nmax_batch_timeout = 0\n')
        api.server.wait_for("Config changed and applied")
        (listed,) = queue.get("/consumers").result
        assert listed["consumer_id"] == stored["consumer_id"]
        assert listed["settings"] == {**WORKER_DEFAULTS, "max_wait_time_ms": 0}
        assert [m["body"] for m in api.handled_after_all()] == [{"n": 1}]
        assert queue.call("DELETE", f"/consumers/{stored['consumer_id']}").status == 400


def test_a_config_that_names_another_worker_than_the_stored_one(tmp_path: Path) -> None:
    with session(tmp_path / "project") as api:
        queue = api.queue("late")
        queue.post("/consumers", {"type": "worker", "script_name": "elsewhere"})
        config = tmp_path / "project" / "wrangler.toml"
        config.write_text(config.read_text() + '[[queues.consumers]]\nqueue = "late"\n')
        api.server.wait_for("Config changed and applied")
        assert [c["script"] for c in queue.get("/consumers").result] == ["elsewhere", "app"]
        elsewhere = queue.get("/consumers").result[0]["consumer_id"]
        assert queue.call("DELETE", f"/consumers/{elsewhere}").result is None
        assert [c["script"] for c in queue.get("/consumers").result] == ["app"]


def test_consumers_survive_the_session(tmp_path: Path) -> None:
    with session(tmp_path / "project") as api:
        pulled = api.pull_queue(batch_size=9)
        before = pulled.get().result
        api.restart()
        assert pulled.get().result == before
