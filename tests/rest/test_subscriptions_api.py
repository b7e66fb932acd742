"""Event subscriptions, stored. Case 112 through raw HTTP; test_wrangler.py has it through wrangler."""

from __future__ import annotations

from typing import Any

import pytest

from .api import Api, Queue

PATH = "/event_subscriptions/subscriptions"


def spec(queue: Queue, **changes: Any) -> dict[str, Any]:
    return {
        "name": "mine",
        "enabled": True,
        "source": {"type": "kv"},
        "destination": {"type": "queues.queue", "queue_id": queue.id},
        "events": ["namespace.created", "namespace.deleted"],
        **changes,
    }


def test_life_of_a_subscription_112(api: Api) -> None:
    queue = api.queue()
    answer = api.post(PATH, spec(queue))
    made = answer.result
    assert len(answer.notes) == 1 and "stored" in answer.notes[0]
    assert made == {
        **spec(queue),
        "id": made["id"],
        "created_at": made["created_at"],
        "modified_at": made["created_at"],
    }
    assert api.get(f"{PATH}/{made['id']}").result == made
    api.advance(1)
    other = api.queue()
    destination = {"type": "queues.queue", "queue_id": other.id}
    changed = api.patch(f"{PATH}/{made['id']}", {"enabled": False}).result
    assert changed == {**made, "enabled": False, "modified_at": changed["modified_at"]}
    assert changed["modified_at"] > made["modified_at"]
    changed = api.patch(f"{PATH}/{made['id']}", {"name": "new", "events": ["e"], "destination": destination}).result
    assert (changed["name"], changed["events"], changed["destination"]) == ("new", ["e"], destination)
    assert api.delete(f"{PATH}/{made['id']}").result == changed
    for gone in (api.get(f"{PATH}/{made['id']}"), api.delete(f"{PATH}/{made['id']}"), api.patch(f"{PATH}/nix", {})):
        assert gone.status == 404
        assert gone.error["message"] == "No subscription with this ID"


def test_list(api: Api) -> None:
    queue, other = api.queue(), api.queue()
    names = ["b", "d", "a", "c"]
    for number, name in enumerate(names):
        api.advance(1)
        source = {"type": "workersBuilds.worker", "worker_name": f"w{number}"}
        api.post(PATH, spec(queue, name=name, source=source, enabled=number % 2 == 0))
    api.post(PATH, spec(other))

    def listed(query: str) -> list[str]:
        return [s["name"] for s in api.get(f"{PATH}?queue_id={queue.id}&{query}").result]

    assert listed("") == names
    assert listed("order=created_at&direction=desc") == names[::-1]
    assert listed("order=name") == sorted(names)
    assert listed("order=name&direction=desc") == sorted(names, reverse=True)
    assert listed("order=source&direction=desc") == names[::-1]
    assert set(listed("order=enabled")[:2]) == {"d", "c"}
    assert listed("per_page=3&page=2") == names[3:]
    info = api.get(f"{PATH}?queue_id={queue.id}&per_page=3").envelope["result_info"]
    assert info == {"count": 3, "page": 1, "per_page": 3, "total_count": 4, "total_pages": 2}
    assert [s["name"] for s in api.get(f"{PATH}?queue_id={other.id}").result] == ["mine"]
    assert api.get(f"{PATH}?queue_id=nix").result == []
    for wrong in ("order=size", "direction=up", "page=0", "per_page=x"):
        assert api.get(f"{PATH}?{wrong}").status == 400


def test_one_subscription_of_a_source_and_queue(api: Api) -> None:
    queue = api.queue()
    api.post(PATH, spec(queue, source={"type": "r2"}))
    refused = api.post(PATH, spec(queue, source={"type": "r2"}, name="again"))
    assert refused.status == 405
    assert "not support multiple subscriptions" in refused.error["message"]
    assert api.post(PATH, spec(api.queue(), source={"type": "r2"})).result


def test_a_deleted_queue_takes_its_subscriptions_along(api: Api) -> None:
    queue = api.queue()
    made = api.post(PATH, spec(queue)).result
    assert api.delete(f"/queues/{queue.id}").result is None
    assert api.get(f"{PATH}/{made['id']}").status == 404


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": None},
        {"name": "\ud800"},
        {"enabled": "yes"},
        {"events": []},
        {"events": [""]},
        {"events": "namespace.created"},
        {"source": "kv"},
        {"source": {}},
        {"source": {"type": ""}},
        {"destination": {"type": "queues.queue"}},
        {"destination": {"type": "other", "queue_id": "x"}},
    ],
)
def test_wrong_shapes(api: Api, change: dict[str, Any]) -> None:
    queue = api.queue()
    refused = api.post(PATH, spec(queue, **change))
    assert (refused.status, refused.error["code"]) == (400, 10026)
    assert api.get(f"{PATH}?queue_id={queue.id}").result == []


def test_a_destination_that_is_no_queue(api: Api) -> None:
    body = spec(api.queue(), destination={"type": "queues.queue", "queue_id": "0" * 32})
    assert api.post(PATH, body).error["code"] == 11000
    made = api.post(PATH, spec(api.queue())).result
    assert api.patch(f"{PATH}/{made['id']}", {"destination": body["destination"]}).error["code"] == 11000
