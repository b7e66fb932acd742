"""The OpenAPI document: of every call that is served, true to what is answered."""

from __future__ import annotations

import re
from typing import Any

from wrangler_py.server.rest.validate import validate

from .api import ACCOUNT, Api


def test_it_needs_no_token(api: Api) -> None:
    reply = api.server.get("/client/v4/openapi.json")
    document = reply.json()
    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": "/client/v4"}]
    assert len(document["paths"]) > 20


def resolve(schema: Any, document: dict[str, Any]) -> Any:
    """The schema with every reference replaced."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            name = re.fullmatch("#/components/schemas/(.+)", schema["$ref"])[1]
            return resolve(document["components"]["schemas"][name], document)
        return {key: resolve(value, document) for key, value in schema.items()}
    if isinstance(schema, list):
        return [resolve(value, document) for value in schema]
    return schema


def test_every_path_is_served_and_every_name_is_used(api: Api) -> None:
    document = api.server.get("/client/v4/openapi.json").json()
    operations = set()
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["operationId"] not in operations
            operations.add(operation["operationId"])
            resolve(operation, document)
            assert {p["name"] for p in operation["parameters"] if p["in"] == "path"} == set(
                re.findall(r"{(\w+)}", path)
            )
        served = re.sub(r"{\w+}", "0" * 32, path)
        refused = api.call("TRACE", f"/client/v4{served}")
        assert refused.status == 405, path
    assert "queues-create" in operations and "messages-pull" in operations


def test_answers_are_as_the_document_says(api: Api) -> None:
    document = api.server.get("/client/v4/openapi.json").json()
    queue = api.pull_queue(dead_letter_queue="openapi-dead")
    queue.push({"a": 1}, "b")
    consumer = queue.get("/consumers").result[0]["consumer_id"]
    subscription = {
        "name": "s",
        "source": {"type": "kv"},
        "destination": {"type": "queues.queue", "queue_id": queue.id},
        "events": ["e"],
    }
    events = "/accounts/{account_id}/event_subscriptions/subscriptions"
    made = api.post("/event_subscriptions/subscriptions", subscription).result["id"]
    q = "/accounts/{account_id}/queues/{queue_id}"
    jobs = api.existing("jobs")
    calls: list[tuple[str, str, Any]] = [
        ("post", "/accounts/{account_id}/queues", {"queue_name": "openapi"}),
        ("get", "/accounts/{account_id}/queues", None),
        ("get", q, None),
        ("patch", q, {"settings": {"delivery_delay": 0}}),
        ("put", q, {}),
        ("get", q + "/metrics", None),
        ("post", q + "/messages", {"body": {}}),
        ("post", q + "/messages/batch", {"messages": [{"body": {}}]}),
        ("post", q + "/messages/peek", {}),
        ("post", q + "/messages/preview", {}),
        ("post", q + "/messages/pull", {}),
        ("post", q + "/messages/ack", {"acks": [{"lease_id": "x"}]}),
        ("post", q + "/messages/purge", {"refs": [{"ref": "x"}]}),
        ("get", q + "/purge", None),
        ("post", q + "/purge", {"delete_messages_permanently": True}),
        ("get", q + "/purge", None),
        ("get", q + "/consumers", None),
        ("get", q + "/consumers/{consumer_id}", None),
        ("put", q + "/consumers/{consumer_id}", {"type": "http_pull"}),
        ("delete", q + "/consumers/{consumer_id}", None),
        ("post", q + "/consumers", {"type": "worker", "script_name": "w", "environment_name": "e"}),
        ("post", events, {**subscription, "source": {"type": "r2"}}),
        ("get", events, None),
        ("get", events + "/{subscription_id}", None),
        ("patch", events + "/{subscription_id}", {"name": "t"}),
        ("delete", events + "/{subscription_id}", None),
        ("delete", q, None),
        ("get", "/accounts", None),
        ("get", "/accounts/{account_id}", None),
        ("get", "/memberships", None),
        ("get", "/user", None),
        ("get", "/user/tokens/verify", None),
        ("get", "/accounts/{account_id}/tokens/verify", None),
        ("get", "/accounts/{account_id}/workers/services/{script_name}", None),
        ("get", "/accounts/{account_id}/workers/subdomain", None),
        ("get", "/accounts/{account_id}/workers/workers/{script_name}", None),
        ("get", "/accounts/{account_id}/workers/scripts/{script_name}/subdomain", None),
        ("post", "/accounts/{account_id}/workers/scripts/{script_name}/subdomain", {"enabled": False}),
    ]
    ids = {
        "account_id": ACCOUNT,
        "queue_id": queue.id,
        "consumer_id": consumer,
        "subscription_id": made,
        "script_name": "app",
    }
    for method, path, body in calls:
        operation = document["paths"][path][method]
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        answer = api.call(method.upper(), "/client/v4" + path.format(**ids), body)
        assert answer.result is not None or method == "delete"
        findings = validate(answer.envelope, resolve(schema, document))
        assert findings.issues == [], (method, path)
        assert findings.unknown == [], (method, path)
        if "requestBody" in operation:
            request = operation["requestBody"]["content"]["application/json"]["schema"]
            assert validate(body, resolve(request, document)).issues == []
    described = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert {(method, path) for method, path, _ in calls} == described
    worker = validate(jobs.get().envelope, resolve(document["components"]["schemas"]["Queue"], document))
    assert worker.issues  # the envelope is no queue: the comparison can fail
    schema = resolve(document["components"]["schemas"]["Queue"], document)
    assert validate(jobs.get().result, schema).issues == []


def test_failures_are_as_the_document_says(api: Api) -> None:
    document = api.server.get("/client/v4/openapi.json").json()
    schema = resolve(document["components"]["schemas"]["Failure"], document)
    for refused in (api.post("/queues", {}), api.get("/nix"), api.get("/queues/x"), api.post("/queues", raw=b"{")):
        assert validate(refused.envelope, schema).issues == []
