"""`wpy workflows`: wrangler's commands on local workflows.

With a session that runs on the state folder its engine is asked; without one the files are read, and changed as far as that
needs no running code: an instance that is triggered or resumed then begins with the next `wpy dev`.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wrangler_py.cli.groups import command_group
from wrangler_py.cli.options import JsonOption
from wrangler_py.cli.output import CommandError, errors_told, result, result_json, table
from wrangler_py.cli.session_client import SessionClient, SessionOption, running_session
from wrangler_py.cli.state import Project
from wrangler_py.cli.where import Where, on_state

if TYPE_CHECKING:
    from wrangler_py.workflows.tables import WorkflowFile

app = command_group("Local workflows: list, trigger, look, pause, resume, end.")
instances = command_group("Instances of a workflow.")
app.add_typer(instances, name="instances")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The workflow (`name` in the config).")]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help='The instance, or "latest".')]


class Workflows:
    """The workflows of a project, through its session or through its files."""

    def __init__(self, project: Project, client: SessionClient | None) -> None:
        self._project = project
        self.client = client
        self._files: list[WorkflowFile] = []

    def close(self) -> None:
        for file in self._files:
            file.close()

    def _file(self, name: str) -> WorkflowFile:
        """The file of a workflow. Raises CommandError for one that neither the config nor the state knows."""
        from wrangler_py.workflows.tables import FOLDER, open_workflow

        known = {w.name for worker in self._project.workers for w in worker.workflows}
        path = self._project.folder / FOLDER / f"{name}.sqlite"
        if not path.exists() and name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise CommandError(f'There is no workflow "{name}". The config has: {there}.')
        file = open_workflow(self._project.folder, name)
        self._files.append(file)
        return file

    def _record(self, file: WorkflowFile, instance: str) -> Any:
        record = file.latest() if instance == "latest" else file.find(instance)
        if record is None:
            raise CommandError(f'The workflow "{file.name}" has no instance {instance}.')
        return record

    def list(self) -> Any:
        from wrangler_py.workflows import show
        from wrangler_py.workflows.tables import workflow_files

        if self.client is not None:
            return self.client.call("GET workflows")["workflows"]
        found: dict[str, Any] = {}
        for worker in self._project.workers:
            for workflow in worker.workflows:
                script = workflow.script_name or worker.name
                shown = {"name": workflow.name, "script_name": script, "class_name": workflow.class_name}
                found[workflow.name] = {**shown, "created_on": None, "instances": {}}
        for path in workflow_files(self._project.folder):
            found[path.stem] = {**found.get(path.stem, {}), **_known(show.workflow(self._file(path.stem)))}
        return [found[name] for name in sorted(found)]

    def instances(self, name: str, status: str | None) -> Any:
        from wrangler_py.workflows import show

        statuses = [status] if status else []
        if self.client is not None:
            return self.client.call("POST workflows/instances", {"workflow": name, "statuses": statuses})["instances"]
        return [show.instance(record) for record in self._file(name).instances(statuses)]

    def describe(self, name: str, instance: str) -> Any:
        from wrangler_py.workflows import show

        if self.client is not None:
            return self.client.call("POST workflows/instance", {"workflow": name, "id": instance})
        file = self._file(name)
        return show.details(file, self._record(file, instance))

    def trigger(self, name: str, params: Any, instance: str | None) -> Any:
        if self.client is not None:
            return self.client.call("POST workflows/trigger", {"workflow": name, "params": params, "id": instance})
        import uuid

        from wrangler_py.workflows import limits, values

        wanted = instance or str(uuid.uuid4())
        if len(wanted) > limits.MAX_INSTANCE_ID or not limits.ID_PATTERN.match(wanted):
            raise CommandError(limits.BAD_INSTANCE_ID)
        if self._file(name).create(wanted, values.dump(values.from_json(params)), "api", _now_ms()) is None:
            raise CommandError(limits.EXISTS)
        return {"id": wanted, "workflow": name}

    def change(self, action: str, name: str, instance: str) -> Any:
        if self.client is not None:
            return self.client.call(f"POST workflows/{action}", {"workflow": name, "id": instance})
        from wrangler_py.workflows import limits

        file = self._file(name)
        record, now_ms = self._record(file, instance), _now_ms()
        status = record.status
        if action == "pause" and status in ("queued", "running", "waiting"):
            status = "paused"
            file.update(record.seq, now_ms, status=status, paused_ms=now_ms)
        elif action == "resume" and status == "paused":
            status = "queued"
            with file.transaction():
                file.shift(record.seq, now_ms - (record.paused_ms or now_ms))
                file.update(record.seq, now_ms, status=status, paused_ms=None)
        elif action == "terminate":
            if status in limits.FINAL:
                raise CommandError(limits.CANNOT_TERMINATE)
            status = "terminated"
            file.update(record.seq, now_ms, status=status, ended_ms=now_ms)
        elif action == "restart":
            status = "queued"
            file.restart(record.seq, now_ms)
        return {"id": record.id, "status": status}

    def send_event(self, name: str, instance: str, event_type: str, payload: Any) -> Any:
        if self.client is not None:
            arguments = {"workflow": name, "id": instance, "type": event_type, "payload": payload}
            return self.client.call("POST workflows/event", arguments)
        from wrangler_py.workflows import limits, values

        if not limits.EVENT_TYPE.match(event_type):
            raise CommandError(limits.BAD_EVENT_TYPE.format(given=event_type))
        file = self._file(name)
        record = self._record(file, instance)
        file.add_event(record.seq, event_type, values.dump(values.from_json(payload)), _now_ms())
        return {"id": record.id}


def _known(shown: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in shown.items() if value is not None}


def _now_ms() -> int:
    from wrangler_py.clock import SystemClock

    return SystemClock().now_ms()


@contextlib.contextmanager
def _workflows(where: Where, session: str | None) -> Iterator[Workflows]:
    with errors_told():
        project = where.project()
        running = running_session(project.folder, session)
        client = None if running is None else SessionClient(running)
        found = Workflows(project, client)
        try:
            yield found
        except (sqlite3.Error, OSError) as problem:
            raise CommandError(f"The workflows in {project.folder} cannot be used: {problem}") from problem
        finally:
            found.close()
            if client is not None:
                client.close()


def _json_argument(text: str, what: str) -> Any:
    try:
        return json.loads(text) if text else {}
    except ValueError as error:
        raise CommandError(f"{what} must be JSON: {error}.") from error


@app.command("list")
@on_state()
def list_workflows(
    as_json: JsonOption = False,
    session: SessionOption = None,
    *,
    where: Where,
) -> None:
    """List the workflows of the config and of the state."""
    with _workflows(where, session) as workflows:
        found = workflows.list()
        if as_json:
            result_json(found)
        elif found:
            rows = [(w["name"], w["script_name"], w["class_name"], _counted(w["instances"])) for w in found]
            table(("NAME", "SCRIPT NAME", "CLASS NAME", "INSTANCES"), rows)
        else:
            result("There are no workflows.")


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "none"


@app.command()
@on_state()
def describe(
    name: NameArgument,
    as_json: JsonOption = False,
    session: SessionOption = None,
    *,
    where: Where,
) -> None:
    """Describe a workflow."""
    with _workflows(where, session) as workflows:
        found = next((w for w in workflows.list() if w["name"] == name), None)
        if found is None:
            raise CommandError(f'There is no workflow "{name}".')
        if as_json:
            result_json(found)
            return
        result(f"Name:        {found['name']}")
        result(f"Script Name: {found['script_name']}")
        result(f"Class Name:  {found['class_name']}")
        result(f"Created On:  {found['created_on'] or 'not yet'}")
        result(f"Instances:   {_counted(found['instances'])}")


@app.command()
@on_state()
def trigger(
    name: NameArgument,
    params: Annotated[str, typer.Argument(metavar="[PARAMS]", help="Parameters of the instance, as JSON.")] = "",
    instance: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The instance's id; a random one is made.")
    ] = None,
    as_json: JsonOption = False,
    session: SessionOption = None,
    *,
    where: Where,
) -> None:
    """Trigger a workflow: create an instance of it."""
    with _workflows(where, session) as workflows:
        made = workflows.trigger(name, _json_argument(params, "The parameters"), instance)
        if as_json:
            result_json(made)
        else:
            result(f'🚀 Workflow instance "{made["id"]}" has been queued successfully')
            if workflows.client is None:
                result("No session runs here: it begins with the next `wpy dev`.")


@instances.command("list")
@on_state()
def list_instances(
    name: NameArgument,
    status: Annotated[str | None, typer.Option("--status", help="Only those of a status.")] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="The oldest first.")] = False,
    page: Annotated[int, typer.Option("--page", min=1, help="Which page.")] = 1,
    per_page: Annotated[int, typer.Option("--per-page", min=1, help="How many on a page.")] = 25,
    as_json: JsonOption = False,
    session: SessionOption = None,
    *,
    where: Where,
) -> None:
    """List the instances of a workflow, the newest first."""
    with _workflows(where, session) as workflows:
        found = workflows.instances(name, status)
        if reverse:
            found = found[::-1]
        found = found[(page - 1) * per_page : page * per_page]
        if as_json:
            result_json(found)
        elif found:
            rows = [(i["id"], i["status"], i["created_on"] or "", i["modified_on"] or "") for i in found]
            table(("INSTANCE ID", "STATUS", "CREATED", "MODIFIED"), rows)
        else:
            result(f'There are no instances in workflow "{name}".')


@instances.command("describe")
@on_state()
def describe_instance(
    name: NameArgument,
    instance: IdArgument = "latest",
    step_output: Annotated[bool, typer.Option(help="Show what steps returned.")] = True,
    truncate_output_limit: Annotated[int, typer.Option(min=1, help="Characters of an output.")] = 5000,
    as_json: JsonOption = False,
    session: SessionOption = None,
    *,
    where: Where,
) -> None:
    """Describe an instance: its status, steps, attempts and errors."""
    with _workflows(where, session) as workflows:
        found = workflows.describe(name, instance)
        if as_json:
            result_json(found)
            return
        result(f"Workflow Name:   {found['workflow']}")
        result(f"Instance Id:     {found['id']}")
        result(f"Trigger:         {found['trigger']['source']}")
        result(f"Status:          {found['status']}")
        result(f"Queued:          {found['queued']}")
        result(f"Start:           {found['start'] or ''}")
        result(f"End:             {found['end'] or ''}")
        if found["error"]:
            result(f"Error:           {found['error']['name']}: {found['error']['message']}")
        if found["status"] == "complete":
            result(f"Output:          {_cut(found['output'], truncate_output_limit)}")
        result("Steps:")
        for step in found["steps"]:
            _print_step(step, truncate_output_limit if step_output else 0)


def _print_step(step: dict[str, Any], limit: int) -> None:
    marks = {"done": "✓", "failed": "✗", "running": "▶", "retrying": "↻", "waiting": "…"}
    result(f"  {marks.get(step['state'], ' ')} {step['name']} ({step['type']}, {step['state']})")
    if step["end"]:
        result(f"      {'until' if step['type'] == 'sleep' else 'end'}: {step['end']}")
    for number, attempt in enumerate(step.get("attempts", ()), 1):
        if attempt["error"]:
            last = attempt["error"]["message"].rstrip("\n").rpartition("\n")[2]
            result(f"      attempt {number}: {attempt['error']['name']}: {last}")
    if step.get("next_attempt"):
        result(f"      next attempt: {step['next_attempt']}")
    if limit and step["state"] == "done" and step["type"] != "sleep":
        result(f"      output: {_cut(step['output'], limit)}")


def _cut(value: Any, limit: int) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[:limit] + "[...output truncated]"


@instances.command("send-event")
@on_state()
def send_event(
    name: NameArgument,
    instance: IdArgument,
    event_type: Annotated[str, typer.Option("--type", help="The event's type.")],
    payload: Annotated[str, typer.Option("--payload", help="The event's payload, as JSON.")] = "{}",
    as_json: JsonOption = False,
    session: SessionOption = None,
    *,
    where: Where,
) -> None:
    """Send an event to an instance."""
    with _workflows(where, session) as workflows:
        done = workflows.send_event(name, instance, event_type, _json_argument(payload, "--payload"))
        if as_json:
            result_json(done)
        else:
            result(f'📤 The event with type "{event_type}" was sent to the instance "{done["id"]}" from {name}')


def _change(action: str, told: str) -> Any:
    def command(
        name: NameArgument,
        instance: IdArgument,
        as_json: JsonOption = False,
        session: SessionOption = None,
        *,
        where: Where,
    ) -> None:
        with _workflows(where, session) as workflows:
            done = workflows.change(action, name, instance)
            if as_json:
                result_json(done)
            else:
                result(f'{told} The instance "{done["id"]}" from {name}: {action} done, its status is {done["status"]}')

    command.__doc__ = f"{action.capitalize()} an instance."
    return on_state()(command)


for _action, _told in (("pause", "⏸️"), ("resume", "▶️"), ("terminate", "🥷"), ("restart", "🥷")):
    instances.command(_action)(_change(_action, _told))
