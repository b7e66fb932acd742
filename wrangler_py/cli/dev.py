"""`wpy dev`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from wrangler_py.dev.options import DevOptions, LogLevel

if TYPE_CHECKING:
    import asyncio

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


def _variable(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name:
        raise typer.BadParameter(f'"{text}" is not of the form KEY:VALUE', param_hint="--var")
    return name, value


def _level(text: str) -> LogLevel:
    levels: tuple[LogLevel, ...] = get_args(LogLevel)
    for level in levels:
        if text == level:
            return level
    raise typer.BadParameter(f'"{text}" is not one of {", ".join(levels)}', param_hint="--log-level")


@app.command()
def dev(
    ctx: typer.Context,
    script: Annotated[
        Path | None, typer.Argument(metavar="SCRIPT", help="The entry module, instead of the config's `main`.")
    ] = None,
    config: Annotated[
        list[Path] | None,
        typer.Option(
            "--config", "-c", metavar="FILE", help="A config file; several times to run several Workers together."
        ),
    ] = None,
    env: Annotated[
        str | None, typer.Option("--env", "-e", metavar="NAME", help="The environment of the config to use.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", metavar="N", min=0, max=65535, help="The port (8787, or the next free one; 0: any)."),
    ] = None,
    ip: Annotated[str, typer.Option("--ip", metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    persist_to: Annotated[
        Path | None,
        typer.Option("--persist-to", metavar="FOLDER", help="The folder for state (.wpy/state beside the config)."),
    ] = None,
    var: Annotated[
        list[str] | None, typer.Option("--var", metavar="KEY:VALUE", help="A variable, as KEY:VALUE; may be repeated.")
    ] = None,
    log_level: Annotated[
        str, typer.Option("--log-level", metavar="LEVEL", help="debug, info, log, warn, error or none.")
    ] = "log",
    test_scheduled: Annotated[
        bool, typer.Option("--test-scheduled", help="Accepted; /__scheduled is always served.")
    ] = False,
    no_cron: Annotated[bool, typer.Option("--no-cron", help="Do not fire crons on the clock.")] = False,
    no_reload: Annotated[bool, typer.Option("--no-reload", help="Do not watch files.")] = False,
    show_interactive_dev_session: Annotated[
        bool | None,
        typer.Option(
            "--show-interactive-dev-session/--no-show-interactive-dev-session",
            help="Hot keys; by default on a terminal.",
        ),
    ] = None,
) -> None:
    """Serve your Worker: its fetch, its queues, its crons. A save swaps the code; no message is lost."""
    options = DevOptions(
        cwd=Path.cwd(),
        script=script,
        configs=tuple(config or ()),
        env=env,
        port=port,
        ip=ip,
        persist_to=persist_to,
        vars=dict(_variable(text) for text in var or ()),
        log_level=_level(log_level),
        crons=not no_cron,
        reload=not no_reload,
        interactive=show_interactive_dev_session,
    )
    raise typer.Exit(_serve(ctx, options))


def _serve(ctx: typer.Context, options: DevOptions) -> int:
    import asyncio

    from wrangler_py.dev.session import run_session
    from wrangler_py.dev.terminal import Terminal

    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    try:
        import uvloop
    except ImportError:  # Windows, PyPy
        pass
    else:
        new_event_loop = uvloop.new_event_loop
    shared = ctx.find_root().obj or {}
    terminal = Terminal(options.log_level)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(run_session(options, terminal, shared.pop("first", None)))
