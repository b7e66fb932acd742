"""The `cloudflare` Python SDK against a session, with nothing changed but its base URL. Case 110."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from .api import ACCOUNT, Api

cloudflare = pytest.importorskip("cloudflare", minversion="5.9", reason="needs the cloudflare SDK, 5.9 or newer")


@pytest.fixture
def sdk(api: Api) -> Iterator[Any]:
    with cloudflare.Cloudflare(api_token="x", base_url=api.base, max_retries=0) as client:
        yield client


@pytest.fixture
def queue_id(api: Api) -> str:
    return api.queue().id


def strict(model: Any) -> Any:
    """The model, after its fields were checked: the SDK itself takes whatever comes."""
    type(model).model_validate(model.to_dict())
    return model


def test_queues(api: Api, sdk: Any) -> None:
    made = strict(sdk.queues.create(account_id=ACCOUNT, queue_name="sdk-1"))
    assert made.settings.message_retention_period == 345600
    assert made.queue_name == "sdk-1"
    everything = sdk.queues.list(account_id=ACCOUNT)
    assert {strict(q).queue_name for q in everything} == {"jobs", "sdk-1"}
    assert next(q.producers for q in everything if q.queue_name == "jobs")[0].script == "app"
    got = strict(sdk.queues.get(made.queue_id, account_id=ACCOUNT))
    assert got == made
    edited = sdk.queues.edit(made.queue_id, account_id=ACCOUNT, settings={"delivery_delay": 5})
    assert strict(edited).settings.delivery_delay == 5
    edited = sdk.queues.edit(made.queue_id, account_id=ACCOUNT, settings={"delivery_paused": True})
    assert (edited.settings.delivery_delay, edited.settings.delivery_paused) == (5, True)
    updated = sdk.queues.update(made.queue_id, account_id=ACCOUNT, queue_name="sdk-1")
    assert (updated.settings.delivery_delay, updated.settings.delivery_paused) == (0, False)
    gone = sdk.queues.delete(made.queue_id, account_id=ACCOUNT)
    assert gone.success is True
    with pytest.raises(cloudflare.NotFoundError) as refused:
        sdk.queues.get(made.queue_id, account_id=ACCOUNT)
    assert refused.value.body["errors"][0]["code"] == 11000


def test_refusals_are_exceptions(api: Api, sdk: Any, queue_id: str) -> None:
    with pytest.raises(cloudflare.BadRequestError) as refused:
        sdk.queues.create(account_id=ACCOUNT, queue_name="jobs")
    assert refused.value.body["errors"][0]["code"] == 11009
    with pytest.raises(cloudflare.BadRequestError) as refused:
        sdk.queues.messages.push(queue_id, account_id=ACCOUNT, body="a string")
    assert refused.value.body["errors"][0]["code"] == 10207
    with pytest.raises(cloudflare.APIStatusError) as unavailable:
        sdk.queues.messages.pull(queue_id, account_id=ACCOUNT)
    assert unavailable.value.status_code == 405


def test_messages(api: Api, sdk: Any, queue_id: str) -> None:
    messages = sdk.queues.messages
    where = {"account_id": ACCOUNT}
    sdk.queues.consumers.create(queue_id, type="http_pull", settings={"visibility_timeout_ms": 60_000}, **where)

    pushed = strict(messages.push(queue_id, body={"n": 1}, content_type="json", **where))
    assert pushed.metadata.metrics.backlog_count == 1
    strict(messages.push(queue_id, body="two", content_type="text", **where))
    bulk = [{"body": {"n": 3}}, {"body": "four", "content_type": "text", "delay_seconds": 5}]
    pushed = strict(messages.bulk_push(queue_id, messages=bulk, **where))
    assert pushed.metadata.metrics.backlog_count == 4

    metrics = strict(sdk.queues.get_metrics(queue_id, **where))
    assert metrics.backlog_count == 4
    assert metrics.oldest_message_timestamp_ms > 0

    peeked = strict(messages.peek(queue_id, batch_size=10, **where))
    assert len(peeked.messages) == 3
    purged = strict(messages.purge(queue_id, refs=[{"ref": peeked.messages[2].ref}], **where))
    assert (purged.errors, purged.warnings) == ([], {})

    pulled = strict(messages.pull(queue_id, batch_size=10, **where))
    assert pulled.message_backlog_count == 3
    assert pulled.metadata.metrics.backlog_count == 3
    one, two = pulled.messages
    assert json.loads(base64.b64decode(one.body)) == {"n": 1}
    assert (two.body, two.metadata["CF-Content-Type"], two.attempts) == ("two", "text", 1)

    acked = strict(
        messages.ack(
            queue_id,
            acks=[{"lease_id": one.lease_id}, {"lease_id": "unknown"}],
            retries=[{"lease_id": two.lease_id, "delay_seconds": 2}],
            **where,
        )
    )
    assert (acked.ack_count, acked.retry_count) == (1, 1)
    assert list(acked.warnings) == ["unknown"]
    api.advance(5)
    assert {m.body for m in messages.pull(queue_id, **where).messages} == {"two", "four"}


def test_purge(api: Api, sdk: Any, queue_id: str) -> None:
    sdk.queues.messages.push(queue_id, account_id=ACCOUNT, body={"n": 1}, content_type="json")
    started = sdk.queues.purge.start(queue_id, account_id=ACCOUNT, delete_messages_permanently=True)
    assert strict(started).queue_id == queue_id
    status = strict(sdk.queues.purge.status(queue_id, account_id=ACCOUNT))
    assert status.completed == "true"
    assert status.started_at
    assert sdk.queues.get_metrics(queue_id, account_id=ACCOUNT).backlog_count == 0


def test_consumers(api: Api, sdk: Any, queue_id: str) -> None:
    consumers = sdk.queues.consumers
    where = {"account_id": ACCOUNT, "queue_id": queue_id}
    made = strict(consumers.create(**where, type="worker", script_name="w", settings={"batch_size": 50}))
    assert (made.script_name, made.settings.batch_size, made.settings.max_concurrency) == ("w", 50, None)
    assert [strict(c).consumer_id for c in consumers.list(**where)] == [made.consumer_id]
    assert strict(consumers.get(made.consumer_id, **where)) == made
    updated = consumers.update(made.consumer_id, **where, type="worker", script_name="w", dead_letter_queue="sdk-dlq")
    assert (strict(updated).dead_letter_queue, updated.settings.batch_size) == ("sdk-dlq", 10)
    pulled = consumers.update(made.consumer_id, **where, type="http_pull", settings={"visibility_timeout_ms": 1000})
    assert strict(pulled).settings.visibility_timeout_ms == 1000
    assert consumers.delete(made.consumer_id, **where).success is True
    assert list(consumers.list(**where)) == []


def test_subscriptions(api: Api, sdk: Any, queue_id: str) -> None:
    subscriptions = sdk.queues.subscriptions
    made = subscriptions.create(
        account_id=ACCOUNT,
        name="s",
        enabled=True,
        source={"type": "r2"},
        destination={"type": "queues.queue", "queue_id": queue_id},
        events=["bucket.created"],
    )
    assert strict(made).created_at == made.modified_at
    assert [s.id for s in subscriptions.list(account_id=ACCOUNT, order="name", direction="desc")] == [made.id]
    assert strict(subscriptions.get(made.id, account_id=ACCOUNT)).events == ["bucket.created"]
    assert subscriptions.update(made.id, account_id=ACCOUNT, enabled=False).enabled is False
    assert subscriptions.delete(made.id, account_id=ACCOUNT).id == made.id
    assert list(subscriptions.list(account_id=ACCOUNT)) == []


def test_accounts(sdk: Any) -> None:
    (account,) = sdk.accounts.list()
    assert account.id == sdk.accounts.get(account_id=account.id).id
    assert [m.account.id for m in sdk.memberships.list()] == [account.id]
    assert sdk.user.tokens.verify().status == "active"
    assert sdk.user.get().id


async def test_the_asynchronous_client(api: Api, queue_id: str) -> None:
    async with cloudflare.AsyncCloudflare(api_token="x", base_url=api.base, max_retries=0) as sdk:
        await sdk.queues.messages.push(queue_id, account_id=ACCOUNT, body={"n": 1}, content_type="json")
        assert [q.queue_id async for q in sdk.queues.list(account_id=ACCOUNT)]
        assert (await sdk.queues.get_metrics(queue_id, account_id=ACCOUNT)).backlog_count == 1
