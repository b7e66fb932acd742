"""The `wpy` command: its groups, each imported only when it is called."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from wrangler_py import __version__

if TYPE_CHECKING:
    from wrangler_py.runtime.python.spawn import SpawnedProcess

#: command: (module that holds `app`, one line of help)
_COMMANDS = {
    "dev": ("wrangler_py.cli.dev", "Serve your Worker: queues, crons, hot reload."),
    "queues": ("wrangler_py.cli.queues", "Create, list and describe local queues."),
    "cron": ("wrangler_py.cli.cron", "Explain, check and list cron expressions."),
}


class _LazyGroup(TyperGroup):
    """Names its commands without importing them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _COMMANDS:
            return None
        module, _ = _COMMANDS[cmd_name]
        command = typer.main.get_command(importlib.import_module(module).app)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


app = typer.Typer(
    cls=_LazyGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wpy {__version__}")
        raise typer.Exit


@app.callback()
def wpy(
    version: Annotated[
        bool, typer.Option("--version", "-v", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The local home for background jobs on Cloudflare Workers."""


def run(arguments: list[str], first: SpawnedProcess | None = None) -> None:
    """Run the command line `arguments`. Ends the process with the command's exit code."""
    context: dict[str, Any] = {"first": first}
    try:
        app(arguments, prog_name="wpy", obj=context)
    finally:
        process = context.pop("first", None)
        if process is not None:  # the command ended before it took the process over
            process.abandon()
