"""`queues.producers` and `queues.consumers`: wrangler's checks of their shape, and Cloudflare's ranges.

wrangler passes any number on and leaves the ranges to the API; a local run has no API, so they are checked here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from msgspec import Struct

from wrangler_py.config import keys
from wrangler_py.config import limits_and_texts as limits
from wrangler_py.config.environments import Field, Section, Sections
from wrangler_py.config.jsvalues import is_object, js_typeof
from wrangler_py.config.limits_and_texts import CONSUMER_RANGES, MINIFLARE_CONSUMER, PRODUCER_RANGES, Range
from wrangler_py.config.model import Consumer, Producer
from wrangler_py.config.positions import FieldPath, dotted
from wrangler_py.config.problems import Report

T = TypeVar("T", Producer, Consumer)

_CONSUMER_TYPES = {
    "type": "string",
    "max_batch_size": "number",
    "max_batch_timeout": "number",
    "max_retries": "number",
    "dead_letter_queue": "string",
    "max_concurrency": "number",
    "visibility_timeout_ms": "number",
    "retry_delay": "number",
}


class Queues(Struct, frozen=True):
    """What a Worker sends to and consumes, each with its place in the file."""

    producers: tuple[tuple[Producer, FieldPath], ...] = ()
    consumers: tuple[tuple[Consumer, FieldPath], ...] = ()


def read_queues(sections: Sections, *, miniflare: bool = False) -> Queues:
    """Check `queues` in each section and read it from the one that counts. `miniflare`: with its defaults. An entry without a usable queue or
    binding is left out; the rest of a faulty one stays, so that clashes with others are reported too."""
    for section in sections.each():
        _check_section(section)
    found = sections.own("queues")
    if found is None or not isinstance(found.value, dict):
        return Queues()
    report = sections.active.report
    if sections.top.get("pages_build_output_dir") is not None and found.value.get("consumers"):
        report.error(limits.PAGES_CONSUMERS, (*found.path, "consumers"))
    queues = Queues(
        tuple(_entries(found, "producers", lambda entry, path: _read_producer(report, entry, path))),
        tuple(_entries(found, "consumers", lambda entry, path: _read_consumer(report, entry, path, miniflare))),
    )
    _warn_of_names(report, found)
    return queues


def _entries(
    found: Field, key: str, read: Callable[[dict[str, Any], FieldPath], T | None]
) -> list[tuple[T, FieldPath]]:
    entries = found.value.get(key)
    placed = []
    for i, entry in enumerate(entries if isinstance(entries, list) else []):
        path = (*found.path, key, i)
        value = read(entry, path) if isinstance(entry, dict) else None
        if value is not None:
            placed.append((value, path))
    return placed


def _check_section(section: Section) -> None:
    found = section.get("queues")
    if found is None:
        return
    report, shown, queues = section.report, section.name_of("queues"), found.value
    if not isinstance(queues, dict):
        report.error(limits.should_be(shown, "an object", queues), found.path, _list_hint(report, "producers"))
        return
    report.unexpected(shown, found.path, queues, keys.QUEUES)
    for key, check in (("consumers", _check_consumer), ("producers", _check_producer)):
        if key not in queues:
            continue
        entries = queues[key]
        if not isinstance(entries, list):
            text = limits.should_be(f"{shown}.{key}", "an array", entries)
            report.error(text, (*found.path, key), _list_hint(report, key))
            continue
        for i, entry in enumerate(entries):
            check(report, entry, (*found.path, key, i))


def _list_hint(report: Report, key: str) -> str:
    if report.source.is_toml:
        return f"write [[queues.{key}]], with two brackets"
    return f'write "queues": {{"{key}": [{{...}}]}}'


def _check_producer(report: Report, producer: Any, path: FieldPath) -> None:
    at = dotted(path)
    if not is_object(producer):
        report.error(limits.producer_not_object(producer), path)
        return
    entry: dict[str, Any] = producer if isinstance(producer, dict) else {}
    report.unexpected(at, path, entry, keys.PRODUCER)
    if not isinstance(entry.get("binding"), str):
        report.error(
            limits.producer_without_binding(at, producer), path, f"for example {report.setting('binding', 'MY_QUEUE')}"
        )
    if "queue" in entry and (not isinstance(entry["queue"], str) or not entry["queue"]):
        report.error(limits.producer_bad_queue(at, producer), (*path, "queue"))
    if "delivery_delay" in entry:
        if js_typeof(entry["delivery_delay"]) != "number":
            text = limits.optional_field(at, "number", "delivery_delay", producer)
            report.error(text, (*path, "delivery_delay"), f"it takes {PRODUCER_RANGES['delivery_delay']}")
        report.warning(limits.delivery_delay_deprecated(at), (*path, "delivery_delay"))
    if "remote" in entry and not isinstance(entry["remote"], bool):
        report.error(limits.optional_field(at, "boolean", "remote", producer), (*path, "remote"))


def _check_consumer(report: Report, consumer: Any, path: FieldPath) -> None:
    at = dotted(path)
    if not is_object(consumer):
        report.error(limits.consumer_not_object(at, consumer), path)
        return
    entry: dict[str, Any] = consumer if isinstance(consumer, dict) else {}
    report.unexpected(at, path, entry, keys.CONSUMER)
    if not isinstance(entry.get("queue"), str) or not entry["queue"]:
        report.error(
            limits.consumer_without_queue(at, consumer), path, f"for example {report.setting('queue', 'my-queue')}"
        )
    if "type" in entry and entry["type"] != "worker":
        pulled = entry["type"] == "http_pull"
        queue = entry.get("queue") or "<queue>"
        hint = f"take this consumer out, and run: wpy queues consumer http add {queue}" if pulled else None
        report.error(limits.consumer_bad_type(at, entry["type"]), (*path, "type"), hint)
    for key, kind in _CONSUMER_TYPES.items():
        if key in entry and js_typeof(entry[key]) != kind:
            allowed = CONSUMER_RANGES.get(key)
            hint = f"it takes {allowed}" if allowed else None
            if key == "max_concurrency" and entry[key] is None:
                hint = "leave it out to let the consumer scale by itself"
            report.error(limits.optional_field(at, kind, key, consumer), (*path, key), hint)


def _read_producer(report: Report, entry: dict[str, Any], path: FieldPath) -> Producer | None:
    binding, queue = entry.get("binding"), entry.get("queue")
    delay = _number(report, entry, path, "delivery_delay", PRODUCER_RANGES["delivery_delay"])
    if entry.get("remote") is True:
        report.warning(
            f'"{dotted(path)}" has "remote": wpy runs every queue on this machine; nothing reaches Cloudflare.',
            (*path, "remote"),
            "remove `remote`",
        )
    if not isinstance(binding, str):
        return None
    if not binding.isidentifier():
        report.warning(
            f'"{binding}" is no valid name for a binding: code cannot say env.{binding}.', (*path, "binding")
        )
    if "queue" in entry and (not isinstance(queue, str) or not queue):
        return None
    return Producer(
        binding=binding,
        # wrangler 4.113 and later: without a name, the local queue is called as its binding.
        queue=queue or binding,
        delivery_delay=None if delay is None else int(delay),
        remote=entry.get("remote") is True,
    )


def _read_consumer(report: Report, entry: dict[str, Any], path: FieldPath, miniflare: bool) -> Consumer | None:
    given = {key: _number(report, entry, path, key, allowed) for key, allowed in CONSUMER_RANGES.items()}
    queue, dead_letter_queue = entry.get("queue"), entry.get("dead_letter_queue")
    if "visibility_timeout_ms" in entry:
        text = f'"{dotted(path)}.visibility_timeout_ms" has no effect: it is for pull consumers.'
        report.warning(text, (*path, "visibility_timeout_ms"), "remove it")
    if dead_letter_queue == "":
        report.error(
            limits.optional_field(dotted(path), "string", "dead_letter_queue", entry),
            (*path, "dead_letter_queue"),
            "it may not be empty; leave it out to have no dead letter queue",
        )
    if not isinstance(queue, str) or not queue:
        return None
    if queue == dead_letter_queue:
        hint = "name another queue; it is created when it does not exist"
        report.error(limits.own_dead_letter_queue(queue), (*path, "dead_letter_queue"), hint)
    values = {key: number for key, number in given.items() if number is not None}
    timeout = values.pop("max_batch_timeout", None)
    whole: dict[str, Any] = {key: int(number) for key, number in values.items()}
    if timeout is not None:
        whole["max_batch_timeout"] = timeout
    dlq = dead_letter_queue if isinstance(dead_letter_queue, str) and dead_letter_queue else None
    return Consumer(queue=queue, dead_letter_queue=dlq, **{**(MINIFLARE_CONSUMER if miniflare else {}), **whole})


def _number(report: Report, entry: dict[str, Any], path: FieldPath, key: str, allowed: Range) -> float | None:
    """The number under `key` when it may stand there, None when it is missing or has been reported."""
    value = entry.get(key)
    if js_typeof(value) != "number" or value is None:
        return None
    if allowed.holds(value):
        return int(value) if float(value).is_integer() else float(value)
    hint = f"the default is {allowed.default}"
    if allowed.default is None:
        hint = "leave it out to let the consumer scale by itself"
    report.error(limits.out_of_range(f"{dotted(path)}.{key}", value, allowed), (*path, key), hint)
    return None


def _warn_of_names(report: Report, found: Field) -> None:
    """One warning for each name that Cloudflare would refuse, where it stands first."""
    seen = set()
    for key, fields in (("producers", ("queue",)), ("consumers", ("queue", "dead_letter_queue"))):
        entries = found.value.get(key)
        for i, entry in enumerate(entries if isinstance(entries, list) else []):
            for name_field in fields:
                name = entry.get(name_field) if isinstance(entry, dict) else None
                if not isinstance(name, str) or not name or name in seen or limits.QUEUE_NAME.fullmatch(name):
                    continue
                seen.add(name)
                report.warning(limits.bad_queue_name(name), (*found.path, key, i, name_field))
