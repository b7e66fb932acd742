"""Workflows, instances and their steps as JSON: what commands and the dashboard show. Names are those of Cloudflare's API."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from wrangler_py.workflows import values
from wrangler_py.workflows.tables import AttemptRecord, InstanceRecord, StepRecord, WorkflowFile

if TYPE_CHECKING:
    from wrangler_py.workflows.engine import Definition


def iso(time_ms: int | None) -> str | None:
    """A moment as Cloudflare's API writes it."""
    if time_ms is None:
        return None
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def workflow(file: WorkflowFile, definition: Definition | None = None) -> dict[str, Any]:
    """A workflow and how many instances of each status it has."""
    worker, class_name, created_ms = file.description()
    return {
        "name": file.name,
        "script_name": definition.worker if definition else worker,
        "class_name": definition.class_name if definition else class_name,
        "created_on": iso(created_ms),
        "instances": file.counts(),
    }


def instance(record: InstanceRecord) -> dict[str, Any]:
    """An instance in a list."""
    return {
        "id": record.id,
        "status": record.status,
        "created_on": iso(record.created_ms),
        "modified_on": iso(record.modified_ms),
        "started_on": iso(record.started_ms),
        "ended_on": iso(record.ended_ms),
    }


def details(file: WorkflowFile, record: InstanceRecord) -> dict[str, Any]:
    """An instance with its steps and their attempts."""
    attempts: dict[str, list[AttemptRecord]] = {}
    for attempt in file.attempts(record.seq):
        attempts.setdefault(attempt.key, []).append(attempt)
    error = None
    if record.error_name is not None:
        error = {"name": record.error_name, "message": record.error_message}
    return {
        "id": record.id,
        "workflow": file.name,
        "status": record.status,
        "params": values.to_json(values.load(record.params)),
        "trigger": {"source": record.trigger},
        "queued": iso(record.created_ms),
        "start": iso(record.started_ms),
        "end": iso(record.ended_ms),
        "success": {"complete": True, "errored": False, "terminated": False}.get(record.status),
        "output": values.to_json(values.load(record.output)),
        "error": error,
        "steps": [_step(step, attempts.get(step.key, [])) for step in file.steps(record.seq)],
    }


def _step(step: StepRecord, attempts: list[AttemptRecord]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "type": {"do": "step", "sleep": "sleep", "wait": "waitForEvent"}[step.kind],
        "name": f"{step.name}-{step.count}",
        "state": step.state,
        "start": iso(step.started_ms),
        "end": iso(step.ended_ms if step.ended_ms is not None else step.due_ms if step.kind == "sleep" else None),
    }
    if step.kind == "sleep":
        return {**shown, "finished": step.state == "done"}
    error = values.load(step.error)
    shown["success"] = {"done": True, "failed": False}.get(step.state)
    shown["output"] = values.to_json(values.load(step.value))
    shown["error"] = None if error is None else {"name": error[1], "message": error[2]}
    if step.kind == "wait":
        return {**shown, "event_type": step.event_type, "timeout_on": iso(step.due_ms)}
    shown["config"] = json.loads(step.config or "null")
    shown["next_attempt"] = iso(step.due_ms) if step.state == "retrying" else None
    shown["attempts"] = [
        {
            "start": iso(attempt.started_ms),
            "end": iso(attempt.ended_ms),
            "success": attempt.success,
            "error": None
            if attempt.error_name is None
            else {"name": attempt.error_name, "message": attempt.error_message},
        }
        for attempt in attempts
    ]
    return shown
