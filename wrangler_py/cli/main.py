"""The `wpy` command: its groups, each imported only when it is called.

Exit codes of every command: 0 done, 1 refused or failed, 2 a command line that cannot be understood.
"""

from __future__ import annotations

import importlib
import sys
from difflib import get_close_matches
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


class CommandGroup(TyperGroup):
    """A group that shows its help when it is called alone, as wrangler does, and names the nearest command for one
    that it does not have."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            args = ["--help"]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        names = self.list_commands(ctx)
        wanted = args[0]
        if wanted not in names and not wanted.startswith("-") and not ctx.resilient_parsing:
            near = get_close_matches(wanted, names, n=1)
            ctx.fail(f"No such command '{wanted}'." + (f" Did you mean '{near[0]}'?" if near else ""))
        return super().resolve_command(ctx, args)


class _LazyGroup(CommandGroup):
    """Names its commands without importing them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _COMMANDS:
            return None
        module, text = _COMMANDS[cmd_name]
        command = typer.main.get_command(importlib.import_module(module).app)
        command.name = cmd_name
        command.short_help = text
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


app = typer.Typer(
    cls=_LazyGroup,
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
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show ✘ gets \u2718, not a traceback
            stream.reconfigure(errors="backslashreplace")
    context: dict[str, Any] = {"first": first}
    try:
        app(arguments, prog_name="wpy", obj=context)
    finally:
        process = context.pop("first", None)
        if process is not None:  # the command ended before it took the process over
            process.abandon()
