"""Ranges, error texts and config snippets of `wpy queues`, each with its source.

[wrangler] src/queues/ of wrangler 4.86, compared with what it prints; [wpy] ours. What the API itself refuses stands in
queues/limits.py.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wrangler_py.cli.output import printable
from wrangler_py.queues.limits import (
    MAX_DELAY_SECONDS,
    MAX_RETENTION_SECONDS,
    MIN_RETENTION_SECONDS,
    QUEUE_NAME_PATTERN,
)

#: [wpy] How many existing names an error lists.
_MOST_NAMES = 20


def bad_delivery_delay(value: int) -> str | None:
    """What is wrong with `--delivery-delay-secs`, or None [wrangler]."""
    return _bad_range("--delivery-delay-secs", value, 0, MAX_DELAY_SECONDS)


def bad_retention(value: int) -> str | None:
    """What is wrong with `--message-retention-period-secs`, or None [wrangler]."""
    return _bad_range("--message-retention-period-secs", value, MIN_RETENTION_SECONDS, MAX_RETENTION_SECONDS)


def _bad_range(option: str, value: int, low: int, high: int) -> str | None:
    return None if low <= value <= high else f"Invalid {option} value: {value}. Must be between {low} and {high}"


def no_such_queue(name: str, existing: Sequence[str], folder: Path) -> str:
    """First line [wrangler], with `wpy` for `wrangler`; then what exists [wpy]."""
    creates = f" To create it, run: wpy queues create {name}" if re.fullmatch(QUEUE_NAME_PATTERN, name) else ""
    lines = [f'Queue "{printable(name)}" does not exist.{creates}']
    near = difflib.get_close_matches(name, existing, n=1)
    if near:
        lines.append(f'  Did you mean "{printable(near[0])}"?')
    if existing:
        more = f" and {len(existing) - _MOST_NAMES} more" if len(existing) > _MOST_NAMES else ""
        lines.append(f"  Existing queues: {', '.join(map(printable, existing[:_MOST_NAMES]))}{more}")
    else:
        lines.append(f"  There are no queues yet in {folder}.")
    return "\n".join(lines)


def nothing_to_delete(name: str) -> str:
    """`delete` of a queue that no session has created yet [wpy]."""
    return (
        f'Queue "{printable(name)}" stands in the config only; there is nothing to delete. Take it out of the config.'
    )


def no_worker_consumer(script: str, queue: str) -> str:
    """`consumer remove` [wrangler]."""
    return f"No worker consumer '{printable(script)}' exists for queue {printable(queue)}"


def no_pull_consumer(queue: str) -> str:
    """`consumer http remove` [wrangler]."""
    return f"No http_pull consumer exists for queue {printable(queue)}"


def consumer_in_config(script: str) -> str:
    """Why a consumer cannot be added or removed by a command [wpy]."""
    return f"The config has Worker '{printable(script)}' in queues.consumers: change it there."


def no_such_message(message_id: str, queue: str) -> str:
    """An id that is in another queue, in none, or of nothing [wpy]."""
    return f'Message {message_id} is not in queue "{printable(queue)}". Where it went: wpy queues history --message {message_id}'


def no_trace(message_id: str, kept: int) -> str:
    """An id of which nothing is known [wpy]."""
    return f"Message {message_id} is in no queue, and in none of the last {kept:,} batches."


def no_batches(queue: str) -> str:
    """`history` of a queue that nothing was delivered from [wpy]."""
    return f'No batch of queue "{printable(queue)}" has been delivered yet.'


def enable_pull(queue: str) -> str:
    """What to do when a queue cannot be pulled [wpy]."""
    return f"To have it pulled instead of delivered, run: wpy queues consumer http add {printable(queue)}"


# What a producer should know [wpy].


def other_content_type(problem: str) -> str:
    """How a body can be sent that is not what its content type asks for."""
    if problem.startswith("not UTF-8"):
        return "To send the bytes as they are, add --content-type bytes."
    return "To send it as text, add --content-type text."


def delivery_paused(queue: str) -> str:
    name = printable(queue)
    return f'Delivery of queue "{name}" is paused: nothing gets its messages until `wpy queues resume-delivery {name}`.'


def not_running(kept: str) -> str:
    return f"No session runs that consumes the queue. Its messages are kept for {kept}, until `wpy dev` delivers them."


def not_consumed(queue: str, kept: str) -> str:
    return f'Nothing consumes queue "{printable(queue)}". Its messages are kept for {kept}.'


#: `consumer list`, by the type that was asked for [wrangler].
NO_CONSUMERS = {
    None: 'No consumers found for queue "{queue}".',
    "worker": 'No worker consumers found for queue "{queue}".',
    "http_pull": 'No HTTP pull consumers found for queue "{queue}".',
}


#: `purge` [wrangler].
PURGE_NEEDS_FORCE = "The --force flag is required to purge a Queue in non-interactive mode"
PURGE_REFUSED = "Incorrect queue name provided. Skipping purge operation"


def purge_question(name: str) -> str:
    """What `purge` asks [wrangler]."""
    return f"This operation will permanently delete all the messages in Queue {name}. Type {name} to proceed."


def no_queues(folder: Path) -> str:
    """What `list` says when there is nothing to list [wpy]."""
    return (
        f"There are no queues yet in {folder}.\n"
        "Create one with `wpy queues create NAME`, or name it in your config: `wpy dev` creates the queues it names."
    )


# Snippets to paste.


def binding_name(queue: str) -> str:
    """The binding that wrangler proposes for a queue [wrangler: getValidBindingName]."""
    name = re.sub(r"_+", "_", re.sub(r"[^a-zA-Z0-9_]", "", re.sub(r"[\s-]", "_", queue)))
    if not name.strip("_"):
        return "queue"
    return f"_{name}" if name[0].isdigit() else name


def producer_snippet(queue: str, config_file: Path | None, environment: str | None) -> str:
    """The config of a producer of `queue`, in the syntax of `config_file`. `environment`: the section it belongs in,
    since environments inherit no queues."""
    return _snippet("producers", {"queue": queue, "binding": binding_name(queue)}, config_file, environment)


def consumer_snippet(queue: str, config_file: Path | None, environment: str | None) -> str:
    """The config of a consumer of `queue`, likewise."""
    return _snippet("consumers", {"queue": queue}, config_file, environment)


def _snippet(kind: str, entry: dict[str, str], config_file: Path | None, environment: str | None) -> str:
    if config_file is not None and config_file.suffix == ".toml":
        import tomli_w

        # tomli_w alone would open a [queues] table, which a file may hold only once: the second snippet would break it.
        section = f"env.{toml_key(environment)}.queues" if environment else "queues"
        return f"[[{section}.{kind}]]\n{tomli_w.dumps(entry)}".rstrip()
    value: dict[str, Any] = {"queues": {kind: [entry]}}
    return json.dumps({"env": {environment: value}} if environment else value, indent=2, ensure_ascii=False)


def toml_key(name: str) -> str:
    """A name as TOML has it in the head of a table, in quotes where it needs them."""
    import tomli_w

    return tomli_w.dumps({name: 0}).rsplit(" = ", 1)[0]
