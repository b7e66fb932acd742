"""The options of every command on local state: which config, which environment, which state folder.

`@on_state()` under `@app.command()` gives a command these options, and hands it a `Where` in their place.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import Struct

from wrangler_py.cli.options import ConfigOption, EnvOption, PersistToOption

if TYPE_CHECKING:
    from wrangler_py.cli.state import Project


class Where(Struct, frozen=True):
    """What the options say."""

    config: Sequence[Path] | None
    env: str | None
    persist_to: Path | None

    def project(self) -> Project:
        """See cli/state.find_project."""
        from wrangler_py.cli.state import find_project

        return find_project(self.config, self.env, self.persist_to)


def _refuse_remote(wanted: bool) -> None:
    if wanted:
        raise typer.BadParameter("wpy works on this machine only. For what is on Cloudflare use wrangler --remote.")


_LocalOption = Annotated[
    bool, typer.Option("--local", help="Use the local state. It always does; the option is wrangler's.")
]
_PreviewOption = Annotated[
    bool, typer.Option("--preview", help="Use the preview resource. Local runs always do; the option is wrangler's.")
]
_RemoteOption = Annotated[
    bool, typer.Option("--remote", callback=_refuse_remote, help="Refused: wpy works on this machine only.")
]
_OF_WHERE = {"config": ConfigOption, "env": EnvOption, "persist_to": PersistToOption}


def on_state(*, local: bool = False, preview: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options; its own keyword `where` gets what they say. `local`: --local and --remote too, which
    wrangler's command has; `preview`: --preview."""
    accepted: dict[str, Any] = {}
    if preview:
        accepted["preview"] = _PreviewOption
    if local:
        accepted |= {"local": _LocalOption, "remote": _RemoteOption}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [parameter for name, parameter in signature.parameters.items() if name != "where"]
        kind = inspect.Parameter.KEYWORD_ONLY
        added = [inspect.Parameter(name, kind, default=False, annotation=option) for name, option in accepted.items()]
        added += [inspect.Parameter(name, kind, default=None, annotation=option) for name, option in _OF_WHERE.items()]

        @functools.wraps(command)
        def run(**given: Any) -> None:
            where = Where(*(given.pop(name) for name in _OF_WHERE))
            for name in accepted:
                del given[name]  # --remote was refused, and the others change nothing
            command(**given, where=where)

        run.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *added)}
        return run

    return decorate
