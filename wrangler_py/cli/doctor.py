"""`wpy doctor`: what is wrong or doubtful here, and which value every setting really has, and why."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import Struct
from msgspec.structs import asdict

from wrangler_py.cli.options import ConfigOption, EnvOption
from wrangler_py.cli.output import FAILED, errors_told, result, result_json, table
from wrangler_py.config import snippets
from wrangler_py.config.find import find_config
from wrangler_py.config.model import ConfigError, Consumer, Problem, SessionConfig, WorkerConfig
from wrangler_py.config.problems import format_problems, shown_path
from wrangler_py.config.source import Source, SourceError, read_source
from wrangler_py.runtime.compat import python_of, resolve_flags
from wrangler_py.session.config import read_session

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


class Setting(Struct, frozen=True):
    """One setting of a worker."""

    worker: str
    name: str
    value: Any
    #: "file:line", or "default".
    source: str
    #: What production uses when nobody says otherwise; None: there is no default.
    default: Any = None


class Finding(Struct, frozen=True):
    """Something to know."""

    severity: str  # "error", "warning", "ok"
    text: str
    hint: str | None = None


@app.command(context_settings={"help_option_names": ["-h", "--help"]})
def doctor(
    config: ConfigOption = None,
    env: EnvOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at the config, the machine and what runs the Workers. Exit code 1 when something keeps them from running
    here or from being deployed."""
    with errors_told():
        cwd = Path.cwd()
        found = find_config(cwd)
        paths = [cwd / path for path in config or ()] or ([found] if found is not None else [])
        session, problems = _read(paths, cwd, env)
        settings = [setting for worker in session.workers for setting in _settings(worker, cwd)] if session else []
        findings = [*_of_machine(session), *(_of_queues(session) if session else ())]
    failed = any(p.severity == "error" or p.stops_deploy for p in problems) or any(
        f.severity == "error" for f in findings
    )
    if as_json:
        result_json(
            {
                "ok": not failed,
                "problems": [_problem(problem) for problem in problems],
                "findings": [asdict(finding) for finding in findings],
                "settings": [asdict(setting) for setting in settings],
            }
        )
    else:
        _print(problems, findings, settings)
    if failed:
        raise typer.Exit(FAILED)


def _read(paths: list[Path], cwd: Path, env: str | None) -> tuple[SessionConfig | None, list[Problem]]:
    try:
        session = read_session(paths, cwd=cwd, env=env)
    except ConfigError as error:
        return None, error.problems
    return session, list(session.warnings)


# Settings --------------------------------------------------------------------------------------------------------------


def _settings(worker: WorkerConfig, cwd: Path) -> Iterator[Setting]:
    where = _Where(worker, cwd)

    def setting(name: str, value: Any, path: tuple[str | int, ...], default: Any = None) -> Setting:
        return Setting(worker.name, name, default if value is None else value, where.of(path), default)

    yield setting("main", shown_path(worker.main, cwd), ("main",))
    yield setting("compatibility_date", worker.compatibility_date, ("compatibility_date",))
    yield setting("compatibility_flags", list(worker.compatibility_flags), ("compatibility_flags",), [])
    defaults = Consumer("")
    for number, consumer in enumerate(worker.consumers):
        for name in Consumer.__struct_fields__:
            if name == "queue":
                continue
            yield setting(
                f"consumer {consumer.queue}: {name}",
                getattr(consumer, name),
                ("queues", "consumers", number, name),
                getattr(defaults, name),
            )
    for number, producer in enumerate(worker.producers):
        yield setting(f"env.{producer.binding}", f"queue {producer.queue}", ("queues", "producers", number, "queue"))
    if worker.crons:
        yield setting("crons", list(worker.crons), ("triggers", "crons"), [])
    for name, value in worker.vars.items():
        if name not in worker.secrets:
            yield setting(f"vars.{name}", value, ("vars", name))
    for name in worker.secrets:
        yield Setting(worker.name, f"vars.{name}", "(hidden)", where.of_secret(name))
    for kind, name, value, path in _bindings(worker):
        yield setting(f"env.{name}", f"{kind} {value}", path)
    yield setting("limits.cpu_ms", worker.cpu_ms, ("limits", "cpu_ms"), 30_000)
    yield setting("dev.ip", worker.dev.ip, ("dev", "ip"), "127.0.0.1")
    yield setting("dev.port", worker.dev.port, ("dev", "port"), 8787)


def _bindings(worker: WorkerConfig) -> Iterator[tuple[str, str, str, tuple[str | int, ...]]]:
    kinds: tuple[tuple[str, Iterable[Any], str, str, tuple[str, ...]], ...] = (
        ("KV", worker.kv_namespaces, "binding", "id", ("kv_namespaces",)),
        ("D1", worker.d1_databases, "binding", "database_name", ("d1_databases",)),
        ("R2", worker.r2_buckets, "binding", "bucket_name", ("r2_buckets",)),
        ("Durable Object", worker.durable_objects, "name", "class_name", ("durable_objects", "bindings")),
        ("Workflow", worker.workflows, "binding", "name", ("workflows",)),
        ("service", worker.services, "binding", "service", ("services",)),
    )
    for kind, bindings, name, value, path in kinds:
        for number, one in enumerate(bindings):
            yield kind, getattr(one, name), str(getattr(one, value, "")), (*path, number)


class _Where:
    """Where the settings of a worker stand."""

    def __init__(self, worker: WorkerConfig, cwd: Path) -> None:
        self._worker = worker
        self._cwd = cwd
        self._source: Source | None = None
        if worker.path is not None:
            try:
                self._source = read_source(worker.path)
            except SourceError:
                self._source = None

    def of(self, path: tuple[str | int, ...]) -> str:
        source, file = self._source, self._worker.path
        if source is None or file is None:
            return "default"
        environment = self._worker.environment
        places = [("env", environment, *path)] if environment else []
        for place in [*places, path]:
            if _has(source.data, place):
                line = source.line(place)
                return shown_path(file, self._cwd) + (f":{line}" if line else "")
        return "default"

    def of_secret(self, name: str) -> str:
        for file in self._worker.files:
            if file != self._worker.path and file.is_file():
                for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                    if line.strip().removeprefix("export ").partition("=")[0].strip() == name:
                        return f"{shown_path(file, self._cwd)}:{number}"
        return "the command line or the environment"


def _has(data: Any, path: tuple[str | int, ...]) -> bool:
    for step in path:
        try:
            data = data[step]
        except (LookupError, TypeError):
            return False
    return True


# Findings --------------------------------------------------------------------------------------------------------------


def _of_machine(session: SessionConfig | None) -> Iterator[Finding]:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    yield Finding("ok", f"Python {platform.python_version()} ({sys.executable}) on {platform.platform()}")
    workers = session.workers if session else ()
    for worker in workers:
        if worker.language != "python":
            continue
        date = worker.compatibility_date
        there = python_of(date, resolve_flags(date, worker.compatibility_flags))
        if there != here:
            yield Finding(
                "warning",
                f"{worker.name}: Cloudflare runs compatibility date {worker.compatibility_date or '(none)'} on Python "
                f"{there}; here it is {here}.",
                f"what is new in the later of them works only there; a Python {there} runs it as Cloudflare does",
            )
    yield from _of_binaries(workers)


def _of_binaries(workers: Iterable[WorkerConfig]) -> Iterator[Finding]:
    from wrangler_py.runtime.workerd.locate import BinaryMissing, find_esbuild, find_workerd

    javascript = [worker for worker in workers if worker.language == "javascript"]
    root = javascript[0].root if javascript else next((worker.root for worker in workers), Path.cwd())
    for name, find in (("workerd", find_workerd), ("esbuild", find_esbuild)):
        try:
            found = find(root)
        except BinaryMissing as error:
            if javascript:
                yield Finding("error", f"{javascript[0].name} is JavaScript and needs {name}. {error}")
            else:
                yield Finding("ok", f"{name} is not there, and no Worker here needs it")
        else:
            yield Finding("ok", f"{name} {found.version} ({found.path})")


def _of_queues(session: SessionConfig) -> Iterator[Finding]:
    consumed = {consumer.queue for worker in session.workers for consumer in worker.consumers}
    dead_letters = {consumer.dead_letter_queue for worker in session.workers for consumer in worker.consumers}
    sent = {producer.queue for worker in session.workers for producer in worker.producers}
    file = session.workers[0].path
    for queue in sorted(sent - consumed):
        yield Finding(
            "warning",
            f'Nobody here consumes queue "{queue}": its messages are kept until their retention ends.',
            f"add {snippets.entry(file, 'queues.consumers', queue=queue)}, or give the consumer's config too: -c FILE",
        )
    for worker in session.workers:
        for consumer in worker.consumers:
            dead = consumer.dead_letter_queue
            if dead is None and consumer.queue not in dead_letters:
                yield Finding(
                    "warning",
                    f'Queue "{consumer.queue}" has no dead letter queue: a message that fails {consumer.max_retries + 1} '
                    "times is deleted.",
                    f"add {snippets.setting(worker.path, 'dead_letter_queue', 'NAME')} to the consumer",
                )
            elif dead is not None and dead not in consumed:
                yield Finding(
                    "warning",
                    f'Nobody here consumes "{dead}", the dead letter queue of "{consumer.queue}": nobody notices.',
                    f"add {snippets.entry(worker.path, 'queues.consumers', queue=dead)}",
                )
    for worker in session.workers:
        for unsupported in worker.unsupported:
            yield Finding("warning", f"{worker.name}: wpy does not serve {unsupported.kind} ({unsupported.field}) yet.")


# Printing --------------------------------------------------------------------------------------------------------------


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "severity": problem.severity,
        "text": problem.text,
        "file": None if problem.file is None else str(problem.file),
        "line": problem.line,
        "field": problem.field,
        "hint": problem.hint,
        "stopsDeploy": problem.stops_deploy or problem.severity == "error",
    }


def _print(problems: list[Problem], findings: list[Finding], settings: list[Setting]) -> None:
    marks = {"ok": "✓", "warning": "▲", "error": "✘"}
    for finding in findings:
        result(f"{marks[finding.severity]} {finding.text}")
        if finding.hint:
            result(f"    {finding.hint}")
    if problems:
        result()
        result(format_problems(problems, color=False))
    elif settings:
        result("✓ The config has no problems")
    if settings:
        result()
        several = len({setting.worker for setting in settings}) > 1
        header = ("SETTING", "VALUE", "FROM", "PRODUCTION'S DEFAULT")
        rows = [
            (
                (f"{setting.worker}: " if several else "") + setting.name,
                _shown(setting.value),
                setting.source,
                _shown(setting.default) if setting.default is not None else "",
            )
            for setting in settings
        ]
        table(header, rows)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return str(value)
