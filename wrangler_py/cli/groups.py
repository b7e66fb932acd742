"""The command groups of `wpy`, each imported only when it is called."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from difflib import get_close_matches
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from wrangler_py import __version__

#: Commands by their names: "module:function" below wrangler_py.cli (a function or a group), and the line of help that a list
#: of commands shows; None: the first of its own.
Members = Mapping[str, tuple[str, str | None]]

#: Each group: where it is, and its line in the help.
_GROUPS: Members = {
    "init": ("init:app", "Make a project whose tests pass."),
    "doctor": ("doctor:app", "What is wrong here, and which value every setting has."),
    "runs": ("runs:app", "What ran, what became of it, and a test that does it again."),
    "state": ("state_commands:app", "Save, load, compare and reset everything that is stored."),
    "tail": ("tail:app", "Follow what happens: requests, messages, batches, crons, logs."),
    "events": ("events:app", "The record of what happened: export and import it."),
    "queues": ("queues:app", "Local queues: create, look, change, send, follow."),
    "cron": ("cron:app", "Explain, check, list and run crons."),
    "clock": ("clock:app", "Show and move the clock of a running session."),
    "alarms": ("alarms:app", "Alarms of Durable Objects: list, run now, cancel."),
    "faults": ("faults:app", "Faults on purpose in a running session."),
    "kv": ("kv:app", "Local Workers KV: keys, in bulk, namespaces."),
    "d1": ("d1:app", "Local D1 databases: run SQL, migrations, export."),
    "r2": ("r2:app", "Local R2 buckets: put, get, delete, list objects."),
    "workflows": ("workflows:app", "Local workflows: list, trigger, look, pause, resume, end."),
    "analytics-engine": (
        "small_bindings:analytics",
        "What Workers have written with writeDataPoint().",
    ),
    "secrets-store": ("small_bindings:secrets_store", "The local Secrets Store."),
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


def command_group(text: str, kind: type[TyperGroup] = CommandGroup) -> typer.Typer:
    """A group to add commands to; `text` is its help."""
    return typer.Typer(cls=kind, help=text, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


class LazyGroup(CommandGroup):
    """A group that imports a command when it is called. Its help imports those that have no line of help in `members`."""

    members: ClassVar[Members] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.members)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.members:
            return None
        where, text = self.members[cmd_name]
        module, _, name = where.partition(":")
        found = getattr(importlib.import_module(f"wrangler_py.cli.{module}"), name)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
            alone.command()(found)
            found = alone
        command = typer.main.get_command(found)
        command.name = cmd_name
        command.short_help = text or command.short_help
        return command


def lazy_group(text: str, members: Members) -> typer.Typer:
    """A group whose commands are imported when they are called; `text` is its help."""
    app = command_group(text, type("Group", (LazyGroup,), {"members": members}))
    app.callback()(lambda: None)  # without a command of its own, typer takes it for a group only so
    return app


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


class _Wpy(LazyGroup):
    """Names its groups without importing them."""

    members = _GROUPS

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
        return super().get_command(ctx, cmd_name)

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
