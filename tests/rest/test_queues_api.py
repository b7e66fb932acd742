"""Queues through the REST API: create, list, get, change, delete, metrics. Numbers are cases of the conformance list."""

from __future__ import annotations

import re

import pytest

from .api import START, Api

DEFAULTS = {"delivery_delay": 0, "delivery_paused": False, "message_retention_period": 345600}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def test_create_86(api: Api) -> None:
    """86: sent as text/plain, answered with an id and production's default settings."""
    made = api.post("/queues", {"queue_name": "case-86"}).result
    assert re.fullmatch("[0-9a-f]{32}", made["queue_id"])
    assert MOMENT.fullmatch(made["created_on"]) and made["created_on"].startswith(START[:10])
    assert made == {
        "queue_id": made["queue_id"],
        "queue_name": "case-86",
        "created_on": made["created_on"],
        "modified_on": made["created_on"],
        "producers_total_count": 0,
        "producers": [],
        "consumers_total_count": 0,
        "consumers": [],
        "settings": DEFAULTS,
    }
    assert api.get(f"/queues/{made['queue_id']}").result == made


def test_create_with_settings_and_jurisdiction(api: Api) -> None:
    settings = {"delivery_delay": 60, "message_retention_period": 3600, "delivery_paused": True}
    made = api.post("/queues", {"queue_name": "made-eu", "jurisdiction": "eu", "settings": settings}).result
    assert made["settings"] == settings
    assert made["jurisdiction"] == "eu"
    path = f"/queues/{made['queue_id']}"
    assert api.put(path, {"jurisdiction": "eu"}).result["jurisdiction"] == "eu"
    assert api.put(path, {"jurisdiction": "us"}).error["code"] == 100128


def test_name_taken_87(api: Api) -> None:
    """87"""
    queue = api.queue()
    refused = api.post("/queues", {"queue_name": queue.name})
    assert refused.error["code"] == 11009
    assert refused.error["message"] == (
        f"Queue name '{queue.name}' is already taken. Please use a different name and try again."
    )


@pytest.mark.parametrize(
    "name", ["Bad Name!!", "", "-a", "a-", "a_b", "A", "a" * 64, "ä", "a\n", "a/b", "../x", "\U0001f980"]
)
def test_bad_name_88(api: Api, name: str) -> None:
    """88"""
    refused = api.post("/queues", {"queue_name": name})
    assert refused.error["code"] == 11003
    assert refused.error["message"].startswith(f"Queue name '{name}' is invalid:")
    assert refused.status == 400


@pytest.mark.parametrize("name", ["a", "0", "a" * 63, "a-b--c-9"])
def test_good_names(api: Api, name: str) -> None:
    assert api.post("/queues", {"queue_name": name}).result["queue_name"] == name


def test_name_filter_is_exact_89(api: Api) -> None:
    """89"""
    one, ten = api.queue("exact-1"), api.queue("exact-10")
    found = api.get(f"/queues?page=1&name={one.name}")
    assert [q["queue_id"] for q in found.result] == [one.id]
    assert found.envelope["result_info"] == {"count": 1, "page": 1, "per_page": 20, "total_count": 1, "total_pages": 1}
    assert [q["queue_id"] for q in api.get(f"/queues?name={ten.name}").result] == [ten.id]
    assert api.get("/queues?name=exact").result == []


def test_several_names_90(api: Api) -> None:
    """90: a name that is repeated, as `wrangler deploy` sends it, counts once."""
    a, b = api.queue(), api.queue()
    found = api.get(f"/queues?name={a.name}&name={b.name}&name={a.name}&page=1")
    assert {q["queue_name"] for q in found.result} == {a.name, b.name}
    assert found.envelope["result_info"]["total_count"] == 2


def test_pages(api: Api) -> None:
    for _ in range(5):
        api.queue()
    everything = [q["queue_name"] for q in api.get("/queues?per_page=1000").result]
    paged = []
    for page in range(1, 100):
        part = api.get(f"/queues?page={page}&per_page=3")
        info = part.envelope["result_info"]
        assert info["total_count"] == len(everything)
        assert info["total_pages"] == -(-len(everything) // 3)
        assert info["count"] == len(part.result)
        if not part.result:
            break
        paged += [q["queue_name"] for q in part.result]
    assert paged == everything
    assert "jobs" in everything


@pytest.mark.parametrize(
    "query",
    [
        "page=0",
        "page=-1",
        "page=x",
        "page=",
        "page=NaN",
        "page=1.5",
        "page=1e30",
        f"page={10**30}",
        "per_page=0",
        "per_page=1001",
        "per_page=%00",
    ],
)
def test_absurd_pages(api: Api, query: str) -> None:
    refused = api.get(f"/queues?{query}")
    assert refused.status == 400
    assert query.partition("=")[0] in refused.error["message"]


def test_patch_keeps_and_put_resets_91(api: Api) -> None:
    """91"""
    queue = api.queue(delivery_delay=7, message_retention_period=600)
    paused = queue.patch(delivery_paused=True).result
    assert paused["settings"] == {"delivery_delay": 7, "delivery_paused": True, "message_retention_period": 600}
    put = api.put(f"/queues/{queue.id}", {"queue_name": queue.name}).result
    assert put["settings"] == DEFAULTS
    put = api.put(f"/queues/{queue.id}", {"settings": {"delivery_delay": 9}}).result
    assert put["settings"] == {**DEFAULTS, "delivery_delay": 9}


def test_a_change_shows_in_modified_on(api: Api) -> None:
    queue = api.queue()
    before = queue.get().result
    api.advance(5)
    after = queue.patch(delivery_delay=1).result
    assert after["created_on"] == before["created_on"]
    assert after["modified_on"] > before["modified_on"]


def test_the_name_is_immutable(api: Api) -> None:
    queue = api.queue()
    refused = api.patch(f"/queues/{queue.id}", {"queue_name": "another", "settings": {"delivery_delay": 1}})
    assert refused.error["code"] == 11003
    assert queue.get().result["settings"] == DEFAULTS


@pytest.mark.parametrize(
    "settings",
    [
        {"delivery_delay": None},  # what wrangler sends for --delivery-delay-secs abc
        {"delivery_delay": -1},
        {"delivery_delay": 86401},
        {"delivery_delay": 1.5},
        {"delivery_delay": "5"},
        {"delivery_delay": True},
        {"delivery_delay": 1e300},
        {"delivery_delay": []},
        {"message_retention_period": 59},
        {"message_retention_period": 1209601},
        {"message_retention_period": None},
        {"delivery_paused": 1},
        {"delivery_paused": "true"},
        {"delivery_paused": None},
    ],
)
def test_settings_out_of_range(api: Api, settings: dict) -> None:
    (name,) = settings
    queue = api.queue()
    for refused in (
        api.patch(f"/queues/{queue.id}", {"settings": settings}),
        api.put(f"/queues/{queue.id}", {"settings": settings}),
        api.post("/queues", {"queue_name": "never-made", "settings": settings}),
    ):
        assert refused.status == 400
        assert refused.error["code"] == 100128
        assert name in refused.error["message"]
    assert queue.get().result["settings"] == DEFAULTS
    assert api.get("/queues?name=never-made").result == []


@pytest.mark.parametrize("settings", [{"delivery_delay": 86400}, {"delivery_delay": 5.0}])
@pytest.mark.parametrize("more", [{}, {"message_retention_period": 60}, {"message_retention_period": 1209600}])
def test_settings_in_range(api: Api, settings: dict, more: dict) -> None:
    assert api.queue().patch(**settings, **more).result["settings"] == {**DEFAULTS, **settings, **more}


def test_unknown_fields_are_told(api: Api) -> None:
    made = api.post("/queues", {"queue_name": "unknown-fields", "colour": 1, "settings": {"delivery_dealy": 5}})
    assert made.result["settings"] == DEFAULTS
    assert made.notes == ["Unknown and ignored: colour, settings.delivery_dealy"]


def test_delete_92(api: Api) -> None:
    """92: refused while a Worker is bound to the queue, else done with `result: null`."""
    refused = api.delete(f"/queues/{api.existing('jobs').id}")
    assert refused.error["code"] == 11005
    assert refused.error["message"] == (
        "Cannot delete queue 'jobs' that is still referenced by a binding in a Worker. "
        "Unbind queue 'jobs' from the Workers 'app'; then try again."
    )
    queue = api.queue()
    queue.push({"n": 1}, "two")
    assert api.delete(f"/queues/{queue.id}").result is None
    gone = queue.get()
    assert (gone.status, gone.error["code"]) == (404, 11000)
    assert api.get(f"/queues?name={queue.name}").result == []
    again = api.queue(queue.name)
    assert again.id != queue.id
    assert again.backlog() == (0, 0)


def test_delete_of_a_dead_letter_queue(api: Api) -> None:
    dead = api.queue()
    source = api.pull_queue(dead_letter_queue=dead.name)
    refused = api.delete(f"/queues/{dead.id}")
    assert refused.error["code"] == 11005
    assert (
        refused.error["message"] == f"Cannot delete queue '{dead.name}' that serves as dead letter queue for consumers"
    )
    assert api.delete(f"/queues/{source.id}").result is None
    assert api.delete(f"/queues/{dead.id}").result is None


def test_metrics_107(api: Api) -> None:
    """107"""
    queue = api.queue()
    assert queue.get("/metrics").result == {"backlog_bytes": 0, "backlog_count": 0, "oldest_message_timestamp_ms": 0}
    queue.push({"a": 1})
    metrics = queue.get("/metrics").result
    assert (metrics["backlog_bytes"], metrics["backlog_count"]) == (7, 1)
    assert metrics["oldest_message_timestamp_ms"] == queue.peek()[0]["timestamp_ms"] > 0


@pytest.mark.parametrize("queue_id", ["0" * 32, "nix", "jobs", "..", "%2F", "a b", "ä", "x" * 3000])
def test_unknown_queue(api: Api, queue_id: str) -> None:
    from urllib.parse import quote

    path = f"/queues/{queue_id if '%' in queue_id else quote(queue_id)}"
    for answer in (api.get(path), api.patch(path, {}), api.delete(path), api.get(path + "/metrics")):
        assert answer.status == 404
        assert answer.error["code"] in (11000, 7003)


def test_the_session_worker_is_listed(api: Api) -> None:
    jobs = api.existing("jobs").get().result
    assert jobs["producers"] == [{"type": "worker", "script": "app"}]
    assert (jobs["producers_total_count"], jobs["consumers_total_count"]) == (1, 1)
    (consumer,) = jobs["consumers"]
    assert consumer["script"] == consumer["script_name"] == "app"
    assert consumer["settings"]["max_wait_time_ms"] == 0
