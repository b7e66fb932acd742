"""`wpy init`: a small project to begin with, whose tests pass."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from wrangler_py.cli import output
from wrangler_py.cli.output import CommandError

#: template: what it is
TEMPLATES = {
    "queue": "a request puts a job into a queue, a consumer does it",
    "cron": "a report every morning, kept in KV",
    "dlq": "retries that wait longer each time, dead letters, an alert",
    "pipeline": "two queues in a row, the result in D1",
    "durable-object": "a counter for each name, with an alarm",
    "ts": "the queue template in TypeScript",
}
_TEMPLATES = Path(__file__).parent / "templates"
#: Worker names as wrangler takes them, which queues are named after (limits_and_texts.py).
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?")
#: Files of a template that belong to the tool and are named otherwise in the project.
_RENAMED = {"gitignore": ".gitignore"}


app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


@app.command(context_settings={"help_option_names": ["-h", "--help"]})
def init(
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="The folder to make the project in (the current one).")
    ] = None,
    template: Annotated[
        str, typer.Option("--template", "-t", metavar="NAME", help=f"One of {', '.join(TEMPLATES)}.")
    ] = "queue",
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="The Worker's name (the folder's).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Say what was written as JSON.")] = False,
) -> None:
    """Make a project: config, code, README, and tests that pass with plain `pytest`."""
    if template not in TEMPLATES:
        raise typer.BadParameter(
            f'there is no template "{template}". There are: {", ".join(TEMPLATES)}.', param_hint="--template"
        )
    folder = (directory or Path()).absolute()
    worker = name or _name_of(folder)
    if not _NAME.fullmatch(worker):
        raise typer.BadParameter(
            f'"{worker}" is no name for a Worker: small letters, digits and dashes, at most 42. Give one with --name.',
            param_hint="--name",
        )
    with output.errors_told():
        written = _write(folder, _files(template), worker, force=force)
    if as_json:
        output.result_json({"folder": str(folder), "name": worker, "template": template, "files": written})
        return
    output.result(f"{worker}: {TEMPLATES[template]}")
    for file in written:
        output.result(f"  {file}")
    steps = ([] if directory is None else [f"cd {shlex.quote(str(directory))}"]) + (
        ["npm install"] if "package.json" in written else []  # workerd and esbuild
    )
    first = "".join(f"{step} && " for step in steps)
    output.result(f"\nTest it:  {first}pytest\nRun it:   {first}wpy dev")


def _write(folder: Path, files: dict[Path, Path], worker: str, *, force: bool) -> list[str]:
    taken = [str(target) for target in files if (folder / target).exists()]
    if taken and not force:
        raise CommandError(
            f"{folder} has {', '.join(taken)} already, and nothing was written. Choose another folder, or replace them "
            "with --force."
        )
    written = []
    try:
        for target, source in files.items():
            path = folder / target
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source.read_text(encoding="utf-8").replace("{{name}}", worker), encoding="utf-8")
            written.append(str(target))
    except OSError as error:
        raise CommandError(f"{error.filename or folder} cannot be written: {error.strerror}.") from error
    return written


def _name_of(folder: Path) -> str:
    return re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")[:42].strip("-")


def _files(template: str) -> dict[Path, Path]:
    """Target (relative to the project) and source of each file."""
    top = _TEMPLATES / template
    found = {path.relative_to(top): path for path in sorted(top.rglob("*")) if path.is_file() and _is_ours(path)}
    for source, target in _RENAMED.items():
        found[Path(target)] = _TEMPLATES / source
    return found


def _is_ours(path: Path) -> bool:
    return "__pycache__" not in path.parts and path.suffix != ".pyc"
