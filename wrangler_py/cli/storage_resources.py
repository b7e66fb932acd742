"""`wpy kv namespace|d1|r2 bucket create` and `delete`, in wrangler's words.

A local resource exists from its first use, so `create` stores nothing: it prints what the config needs. `delete` deletes what
is stored. [texts: wrangler 4.86, kv/, d1/ and r2/]
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wrangler_py.cli import storage_common as common
from wrangler_py.cli.output import CommandError, hint, result, result_json

if TYPE_CHECKING:
    from wrangler_py.cli.state import Project

SkipOption = Annotated[bool, typer.Option("--skip-confirmation", "-y", help="Do not ask.")]
NewBindingOption = Annotated[
    str | None, typer.Option("--binding", metavar="NAME", help="The name in `env` (made from the resource's name).")
]
LocationOption = Annotated[
    str | None, typer.Option("--location", metavar="PLACE", help="Accepted; the local state has one place.")
]

_LOCAL = "It exists from its first use on this machine; what Cloudflare has is made by `wrangler {command}`."


def created(project: Project, key: str, entry: dict[str, str], what: str, command: str, *, as_json: bool) -> None:
    """Print what the config needs for a new resource: `entry` in its list `key`."""
    from wrangler_py.cli.queues_texts import toml_key

    if as_json:
        result_json(entry)
        return
    result(
        f"✨ Success!\nTo access your new {what} in your Worker, add the following snippet to your configuration file:"
    )
    if project.config_file is not None and project.config_file.suffix == ".toml":
        import tomli_w

        section = f"env.{toml_key(project.environment)}." if project.environment else ""
        result(f"[[{section}{key}]]\n{tomli_w.dumps(entry)}".rstrip())
    else:
        value: dict[str, Any] = {key: [entry]}
        value = {"env": {project.environment: value}} if project.environment else value
        result(json.dumps(value, indent=2, ensure_ascii=False))
    hint(_LOCAL.format(command=command))


def new_namespace_id() -> str:
    """An id like those of KV namespaces."""
    return secrets.token_hex(16)


def new_database_id() -> str:
    """An id like those of D1 databases."""
    return str(uuid.uuid4())


def confirmed(question: str, *, skip: bool) -> None:
    """Ask on a terminal; without one the answer is yes, as wrangler's. Raises CommandError when it is no."""
    if not skip and sys.stdin.isatty() and not typer.confirm(question, err=True):
        raise CommandError("Nothing was deleted.")


def delete_files(project: Project, path: Path) -> bool:
    """Delete a resource's database, with the files beside it, or its folder; whether there was one. Raises StateError while
    a session uses it."""
    from wrangler_py.session.snapshots import refuse_running

    refuse_running(project.folder, "deleted")
    with common.told(path):
        if path.is_dir():
            shutil.rmtree(path)
            return True
        there = path.exists()
        for file in (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal"))):
            file.unlink(missing_ok=True)
        return there
