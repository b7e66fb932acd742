"""From config files to a SessionConfig: each Worker read on its own, then all of them held against each other."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from wrangler_py.config import limits_and_texts as limits
from wrangler_py.config import snippets, worker_fields
from wrangler_py.config.bindings import QUEUE, SECRET, VARIABLE, Language, Named, check_unique, read_bindings
from wrangler_py.config.bundling import read_bundling, read_migrations
from wrangler_py.config.entry import check_script, read_main
from wrangler_py.config.environments import Sections, check_known_fields, choose
from wrangler_py.config.find import find_config, not_found, passed_over
from wrangler_py.config.model import ConfigError, Problem, SessionConfig, WorkerConfig
from wrangler_py.config.positions import FieldPath
from wrangler_py.config.problems import Report, is_slip, shown_path
from wrangler_py.config.source import Source, SourceError, empty_problem, read_source
from wrangler_py.config.validate_queues import Queues, read_queues
from wrangler_py.config.variables import read_required_secrets, read_secrets, read_vars
from wrangler_py.config.worker_fields import RefusedCrons


def load_session(
    config_paths: Sequence[Path],
    *,
    cwd: Path,
    script: Path | None = None,
    env: str | None = None,
    var_overrides: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    today: datetime.date | None = None,
    refused_crons: RefusedCrons | None = None,
    miniflare: bool = False,
) -> SessionConfig:
    """Read everything that `wpy dev` was asked to run.

    `config_paths` (from `-c`, relative to `cwd`) name one Worker each, the first being the primary one. Without any,
    the config is looked for as wrangler does it: from the script's folder upwards, or from `cwd`. `script` (relative
    to `cwd`) takes the place of the primary Worker's `main`, and needs no config. `env` is `--env`, else the variable
    CLOUDFLARE_ENV. `var_overrides` (from `--var`) reach the primary Worker only, as with wrangler. `environ` is this
    process's environment unless given. `today` (UTC, clock.utc_today) is the compatibility date of a Worker without one,
    and a later date is doubtful; None leaves both out, for a caller to whom dates are nothing.
    `miniflare`: consumers have its defaults (`--compat-miniflare`).
    `refused_crons` says which of a Worker's crons Cloudflare refuses (session/config.py); each is a warning.

    Raises ConfigError with every problem there is, in file order, when one of them is an error. Warnings alone come
    back in the result.
    """
    environ = os.environ if environ is None else environ
    asked = _Asked(
        Path(cwd),
        (env if env is not None else environ.get("CLOUDFLARE_ENV")) or None,
        environ,
        today,
        refused_crons,
        miniflare,
    )
    drafts, problems = _read_all(asked, config_paths, script, dict(var_overrides or {}))
    problems += [problem for draft in drafts for problem in draft.report_problems()]
    problems += _clashes(drafts, asked.cwd)
    problems += _misspelt_queues(drafts, asked.cwd)
    problems = _in_file_order(problems, [draft.path for draft in drafts if draft.path])
    if any(problem.severity == "error" for problem in problems):
        raise ConfigError(problems)
    return SessionConfig(tuple(draft.finish() for draft in drafts), tuple(problems))


class _Asked(Struct, frozen=True):
    cwd: Path
    environment: str | None
    environ: Mapping[str, str]
    today: datetime.date | None
    refused_crons: RefusedCrons | None
    miniflare: bool


class _Draft(Struct, eq=False):
    """One Worker as far as it could be read."""

    name: str
    path: Path | None
    root: Path
    main: Path | None
    report: Report | None = None
    problems: list[Problem] = field(default_factory=list)
    name_path: FieldPath = ()
    queues: Queues = field(default_factory=Queues)
    values: dict[str, Any] = field(default_factory=dict)

    def report_problems(self) -> list[Problem]:
        return [*(self.report.problems if self.report else []), *self.problems]

    def line(self, path: FieldPath) -> int | None:
        return self.report.source.line(path) if self.report else None

    def finish(self) -> WorkerConfig:
        if self.main is None:
            raise AssertionError("a Worker without an entry module has been reported")
        return WorkerConfig(
            name=self.name,
            path=self.path,
            root=self.root,
            main=self.main,
            producers=tuple(producer for producer, _ in self.queues.producers),
            consumers=tuple(consumer for consumer, _ in self.queues.consumers),
            **self.values,
        )


def _read_all(
    asked: _Asked, config_paths: Sequence[Path], script: Path | None, var_overrides: dict[str, str]
) -> tuple[list[_Draft], list[Problem]]:
    """A draft for each Worker that has a readable file, and what is wrong beyond any of them."""
    problems: list[Problem] = []
    main: Path | None = None
    if script is not None:
        main, wrong = check_script(script, asked.cwd)
        if wrong is not None:
            problems.append(wrong)
    paths = [_absolute(asked.cwd / path) for path in config_paths]
    if not paths:
        start = (asked.cwd / script).parent if script is not None else asked.cwd
        found = find_config(start)
        if found is not None:
            paths = [found]
            problems += passed_over(start, found, asked.cwd)
        elif script is None:
            return [], [not_found(asked.cwd)]
        else:
            return [_without_config(asked, main, var_overrides)], problems
    drafts = []
    for i, path in enumerate(paths):
        primary = i == 0
        try:
            source = read_source(path)
        except SourceError as error:
            problems.append(error.problem)
            continue
        empty = empty_problem(source)
        if empty is not None and not (primary and script is not None):
            problems.append(empty)
            continue
        drafts.append(
            _read_worker(asked, source, script is not None and primary, main, var_overrides if primary else {})
        )
    return drafts, problems


def _without_config(asked: _Asked, main: Path | None, var_overrides: dict[str, str]) -> _Draft:
    draft = _Draft(limits.DEFAULT_WORKER_NAME, None, asked.cwd, main)
    secrets = read_secrets(asked.cwd, asked.environment, None, asked.environ)
    draft.problems += secrets.problems
    draft.values = {
        "environment": asked.environment,
        "secrets": {**secrets.values, **var_overrides},
        "files": tuple(secrets.files),
    }
    return draft


def _read_worker(
    asked: _Asked, source: Source, has_script: bool, script_main: Path | None, var_overrides: dict[str, str]
) -> _Draft:
    report = Report(source)
    root = source.path.parent
    for path, line in source.repeated():
        report.warning(f'"{path[-1]}" stands twice in one object (first on line {line}); the last one counts.', path)
    sections = choose(report, asked.environment)
    check_known_fields(sections)
    worker_fields.check_plain_types(sections)
    name = worker_fields.read_name(sections)
    draft = _Draft(name, source.path, root, script_main, report)
    named = sections.inherited("name")
    draft.name_path = named.path if named is not None else ()
    build = worker_fields.read_build(sections, root)
    if not has_script:
        draft.main = read_main(sections, root, asked.cwd, built=build is not None)
    flags = worker_fields.read_compatibility_flags(sections)
    draft.queues = read_queues(sections, miniflare=asked.miniflare)
    language: Language = "python"
    if draft.main is not None and draft.main.suffix not in limits.PYTHON_SUFFIXES:
        language = "javascript"
    bindings = read_bindings(sections, language, root, asked.environ)
    names = bindings.named
    migrations = read_migrations(sections)
    own_classes = [o.class_name for o in bindings.values.get("durable_objects", ()) if o.script_name is None]
    if own_classes and not migrations:
        entry = {"tag": "v1", "new_sqlite_classes": list(dict.fromkeys(own_classes))}
        report.warning(
            limits.no_migrations(source.path.name, own_classes),
            ("durable_objects",),
            f"add {snippets.entry(source.path, 'migrations', **entry)}",
        )
    variables = read_vars(sections)
    draft.values = {
        "compatibility_date": worker_fields.read_compatibility_date(sections, asked.today),
        "compatibility_flags": flags,
        "environment": asked.environment,
        "crons": worker_fields.read_crons(sections, asked.refused_crons),
        "unsupported": tuple(bindings.unsupported),
        "migrations": migrations,
        "bundling": read_bundling(sections, root),
        "build": build,
        **bindings.values,
        "cpu_ms": worker_fields.read_cpu_limit(sections),
        "dev": worker_fields.read_dev(sections),
    }
    names += [Named(p.binding, QUEUE, path) for p, path in draft.queues.producers]
    _read_environment_of_worker(asked, sections, draft, variables, names, var_overrides)
    if draft.main is not None:
        worker_fields.warn_of_unserved(sections)
        if language == "python" and "python_workers" not in flags:
            setting = report.setting("compatibility_flags", [*flags, "python_workers"])
            hint = f"wpy runs it all the same; to deploy, write {setting}"
            flagged = sections.inherited("compatibility_flags")
            sections.active.report.warning(limits.PYTHON_FLAG, flagged.path if flagged else (), hint)
    return draft


def _read_environment_of_worker(
    asked: _Asked,
    sections: Sections,
    draft: _Draft,
    variables: dict[str, Any],
    names: list[Named],
    var_overrides: dict[str, str],
) -> None:
    """What the code will find in `env` besides queues: `vars`, secrets and `--var`, and the clashes between them."""
    required = read_required_secrets(sections)
    secrets = read_secrets(draft.root, asked.environment, required, asked.environ)
    draft.problems += [problem if problem.file else replace(problem, file=draft.path) for problem in secrets.problems]
    declared = sections.own("secrets")
    if declared is not None and secrets.missing:
        sections.active.report.warning(limits.missing_secrets(secrets.missing), declared.path)
    bound = {one.name: one.kind for one in names}
    own = sections.own("vars")
    names += [Named(name, VARIABLE, (*own.path, name)) for name in variables] if own else []
    names += [Named(name, SECRET, (*declared.path, "required")) for name in required or ()] if declared else []
    check_unique(sections, names)
    for name in [name for name in secrets.values if name in bound]:
        file, line = secrets.places.get(name, (draft.path, None))
        text = f"{name} is ignored: it is the name of the {bound[name]} binding."
        draft.problems.append(Problem("warning", text, file=file, line=line, hint="give one of them another name"))
        del secrets.values[name]
    for name in [name for name in var_overrides if name in bound]:
        text = f"--var {name} takes the place of the {bound[name]} binding."
        draft.problems.append(Problem("warning", text, hint="give the variable another name"))
    draft.queues = replace(
        draft.queues, producers=tuple(p for p in draft.queues.producers if p[0].binding not in var_overrides)
    )
    values = {**secrets.values, **var_overrides}
    draft.values["vars"] = {name: value for name, value in variables.items() if name not in values}
    draft.values["secrets"] = values
    draft.values["files"] = (*((draft.path,) if draft.path else ()), *secrets.files)


def _clashes(drafts: list[_Draft], cwd: Path) -> list[Problem]:
    """What only shows when all Workers are seen together."""
    problems = []
    by_name: dict[str, _Draft] = {}
    for draft in drafts:
        first = by_name.setdefault(draft.name, draft)
        if first is not draft:
            text = f'Two Workers have the name "{draft.name}": every Worker of a session needs its own.'
            hint = f"the other one is {_place(first, first.name_path, cwd)}"
            if first.path == draft.path:
                text, hint = "The same config file is given twice.", "leave one -c out"
            problems.append(_problem(draft, text, draft.name_path, hint))
    first_consumer: dict[str, tuple[_Draft, FieldPath]] = {}
    for draft in drafts:
        for consumer, path in draft.queues.consumers:
            first, first_path = first_consumer.setdefault(consumer.queue, (draft, path))
            if first is not draft or first_path != path:
                text = limits.multiple_consumers(consumer.queue, first.name, draft.name)
                hint = f"a queue has one consumer; the other one is {_place(first, first_path, cwd)}"
                problems.append(_problem(draft, text, (*path, "queue"), hint))
    return problems


def _misspelt_queues(drafts: list[_Draft], cwd: Path) -> list[Problem]:
    """Queues that are consumed and never sent to, beside one that is sent to and never consumed and is named almost so."""
    produced = {producer.queue: (d, path) for d in drafts for producer, path in d.queues.producers}
    consumers = [(consumer, d, path) for d in drafts for consumer, path in d.queues.consumers]
    consumed = {consumer.queue for consumer, _, _ in consumers}
    fed = {*produced, *(consumer.dead_letter_queue for consumer, _, _ in consumers)}
    problems = []
    for consumer, draft, path in consumers:
        if consumer.queue in fed or draft.report is None:
            continue
        for other, (sender, place) in produced.items():
            if other not in consumed and is_slip(consumer.queue, other):
                report = Report(draft.report.source)
                text = f'Nothing sends to the queue "{consumer.queue}", and nothing consumes "{other}".'
                hint = (
                    f'is "{other}" meant, as in {_place(sender, place, cwd)}? A misspelt name makes a queue of its own'
                )
                report.warning(text, (*path, "queue"), hint)
                problems += report.problems
    return problems


def _problem(draft: _Draft, text: str, path: FieldPath, hint: str) -> Problem:
    if draft.report is None:
        return Problem("error", text, hint=hint)
    report = Report(draft.report.source)
    report.error(text, path, hint)
    return report.problems[0]


def _place(draft: _Draft, path: FieldPath, cwd: Path) -> str:
    if draft.path is None:
        return "the script"
    line = draft.line(path)
    return shown_path(draft.path, cwd) + (f":{line}" if line else "")


def _in_file_order(problems: list[Problem], files: list[Path]) -> list[Problem]:
    rank = {file: i for i, file in enumerate(dict.fromkeys(files))}

    def key(problem: Problem) -> tuple[int, str, int]:
        if problem.file is None:
            return (-1, "", 0)
        # A file that is no config (.dev.vars, one that could not be read) comes behind the configs.
        return (rank.get(problem.file, len(rank)), str(problem.file), problem.line or 0)

    return sorted(problems, key=key)


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - as wrangler: `..` goes away, links stay
