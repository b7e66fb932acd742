"""The command groups of `wpy`, each imported only when it is called."""

from __future__ import annotations

import importlib
from difflib import get_close_matches
from types import SimpleNamespace
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from wrangler_py import __version__

#: command: (module that holds `app`, or module:name, one line of help)
_GROUPS = {
    "init": ("wrangler_py.cli.init", "Make a project whose tests pass."),
    "doctor": ("wrangler_py.cli.doctor", "What is wrong here, and which value every setting has."),
    "runs": ("wrangler_py.cli.runs", "What ran, what became of it, and a test that does it again."),
    "state": ("wrangler_py.cli.state_commands", "Save, load, compare and reset everything that is stored."),
    "tail": ("wrangler_py.cli.tail", "Follow what happens: requests, messages, batches, crons, logs."),
    "events": ("wrangler_py.cli.events", "The record of what happened: export and import it."),
    "queues": ("wrangler_py.cli.queues", "Local queues: create, look, change, send, follow."),
    "cron": ("wrangler_py.cli.cron", "Explain, check, list and run crons."),
    "clock": ("wrangler_py.cli.clock", "Show and move the clock of a running session."),
    "kv": ("wrangler_py.cli.kv", "Local Workers KV: keys, in bulk, namespaces."),
    "d1": ("wrangler_py.cli.d1", "Local D1 databases: run SQL, migrations, export."),
    "r2": ("wrangler_py.cli.r2", "Local R2 buckets: put, get, delete, list objects."),
    "workflows": ("wrangler_py.cli.workflows", "Local workflows: list, trigger, look, pause, resume, end."),
    "analytics-engine": (
        "wrangler_py.cli.small_bindings:analytics",
        "What Workers have written with writeDataPoint().",
    ),
    "secrets-store": ("wrangler_py.cli.small_bindings:secrets_store", "The local Secrets Store."),
}
_DEV_HELP = "Serve your Worker: queues, crons, hot reload."


#: What other tools call a command.
_OTHER_WORDS = {"run": "trigger", "ls": "list", "rm": "delete", "remove": "delete", "add": "create", "new": "create"}


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
            near = get_close_matches(wanted, names, n=1) or [n for n in names if n == _OTHER_WORDS.get(wanted)]
            more = f" Did you mean '{near[0]}'?" if near else f" There are: {', '.join(names)}."
            ctx.fail(f"No such command '{wanted}'.{more}")
        return super().resolve_command(ctx, args)


def command_group(text: str) -> typer.Typer:
    """A group to add commands to; `text` is its help."""
    return typer.Typer(
        cls=CommandGroup, help=text, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False
    )


class _DevStandIn(TyperCommand):
    """`wpy dev` as the completion of the shell sees it. It runs without typer (see cli/main.py)."""

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        import click

        from wrangler_py.cli.dev import dev

        if not incomplete.startswith("-"):
            return []  # a script or an option's value: the shell completes file names itself
        options = [
            (name, p.help) for p in dev.params if isinstance(p, click.Option) for name in (*p.opts, *p.secondary_opts)
        ]
        found = [(name, text) for name, text in options if name.startswith("--") and name.startswith(incomplete)]
        return [SimpleNamespace(value=name, type="plain", help=text) for name, text in found]


class _Wpy(CommandGroup):
    """Names its groups without importing them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return ["dev", *_GROUPS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name == "dev":
            return _DevStandIn(
                cmd_name,
                short_help=_DEV_HELP,
                add_help_option=False,
                context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
            )
        if cmd_name not in _GROUPS:
            return None
        module, text = _GROUPS[cmd_name]
        module, _, name = module.partition(":")
        command = typer.main.get_command(getattr(importlib.import_module(module), name or "app"))
        command.name = cmd_name
        command.short_help = text
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([("dev", _DEV_HELP), *((name, text) for name, (_, text) in _GROUPS.items())])


app = typer.Typer(
    cls=_Wpy,
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
