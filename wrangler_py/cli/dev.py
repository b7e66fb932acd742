"""`wpy dev`.

Built with click, which the server brings along anyway: the other commands' typer would cost a session's start a tenth
of a second.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from wrangler_py.dev.options import DEBUG_PORT, DEFAULT_PORT, STATE_FOLDER, DevOptions, LogLevel

if TYPE_CHECKING:
    import asyncio

_PATH = click.Path(path_type=Path)
#: What it ends with when Ctrl-C comes before it listens for it (cli/output.py says why, and would be imported too soon).
_INTERRUPTED = 130


def _variables(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    variables = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon or not name:
            raise click.BadParameter(f'"{text}" is not of the form KEY:VALUE')
        variables[name] = value
    return variables


def _moment(_context: click.Context, _parameter: click.Parameter, text: str | None) -> int | None:
    from datetime import UTC, datetime

    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f'"{text}" is not a time like 2026-03-01T09:30:00Z') from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _span(_context: click.Context, _parameter: click.Parameter, text: str | None) -> float | None:
    from wrangler_py.session.times import MAX_ADVANCE_S, parse_span

    if text is None:
        return None
    try:
        seconds = parse_span(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if not 0 < seconds <= MAX_ADVANCE_S:
        raise click.BadParameter(f'"{text}" is not a span like 20s or 15m')
    return seconds


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("script", required=False, type=_PATH)
@click.option(
    "--config",
    "-c",
    multiple=True,
    type=_PATH,
    metavar="FILE",
    help="A config file; several times to run several Workers together.",
)
@click.option("--env", "-e", metavar="NAME", help="The environment of the config to use.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help=f"The port ({DEFAULT_PORT}, or the next free one; 0: any).",
)
@click.option("--ip", metavar="ADDRESS", help="The address to listen on (127.0.0.1).")
@click.option(
    "--persist-to",
    type=_PATH,
    metavar="FOLDER",
    help=f"The folder of the state ({STATE_FOLDER.as_posix()} beside the config).",
)
@click.option(
    "--var",
    multiple=True,
    callback=_variables,
    metavar="KEY:VALUE",
    help="A variable, as KEY:VALUE; may be repeated.",
)
@click.option(
    "--log-level",
    type=click.Choice(get_args(LogLevel)),
    default="log",
    show_default=True,
    metavar="LEVEL",
    help=f"{', '.join(get_args(LogLevel))}.",
)
@click.option("--test-scheduled", is_flag=True, help="Accepted; /__scheduled is always served.")
@click.option("--no-cron", is_flag=True, help="Do not fire crons on the clock.")
@click.option("--cron-catch-up", is_flag=True, help="Fire the crons that were missed while the machine slept.")
@click.option(
    "--clock",
    type=click.Choice(["real", "virtual"]),
    default="real",
    show_default=True,
    metavar="KIND",
    help="real or virtual (stands still until `wpy clock` moves it).",
)
@click.option("--now", callback=_moment, metavar="TIME", help="What the clock shows at the start (ISO 8601, UTC).")
@click.option(
    "--worker-clock",
    is_flag=True,
    help="The Worker's own time and sleeps follow the clock (needs wrangler_py[worker-clock]).",
)
@click.option(
    "--wall-limit",
    callback=_span,
    metavar="SPAN",
    help="How long a handler of a batch or a cron may run: 20s, 5m (15m, as on Cloudflare).",
)
@click.option(
    "--compat-miniflare",
    is_flag=True,
    help="Queues with the defaults and limits of `wrangler dev` instead of production's.",
)
@click.option("--no-dashboard", is_flag=True, help="Serve no dashboard, no API of it, no figures for Prometheus.")
@click.option("--readonly", is_flag=True, help="The dashboard shows everything and changes nothing.")
@click.option(
    "--record",
    "record_mb",
    type=click.IntRange(0, 1_000_000),
    default=256,
    show_default=True,
    metavar="MB",
    help="What the record of what happened may take on disk; 0: record nothing.",
)
@click.option("--no-reload", is_flag=True, help="Do not watch files.")
@click.option(
    "--inspector-port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="Let Chrome DevTools debug JavaScript Workers on this port (0: any).",
)
@click.option(
    "--inspect",
    type=click.IntRange(0, 65535),
    is_flag=False,
    flag_value=DEBUG_PORT,
    metavar="[PORT]",
    help=f"Let a Python debugger (VS Code, debugpy) attach on this port, {DEBUG_PORT} by default, 0: any "
    "(needs wrangler_py[inspect]).",
)
@click.option(
    "--show-interactive-dev-session/--no-show-interactive-dev-session",
    default=None,
    help="Hot keys; by default on a terminal.",
)
@click.pass_context
def dev(
    ctx: click.Context,
    script: Path | None,
    config: tuple[Path, ...],
    env: str | None,
    port: int | None,
    ip: str | None,
    persist_to: Path | None,
    var: dict[str, str],
    log_level: LogLevel,
    test_scheduled: bool,
    no_cron: bool,
    cron_catch_up: bool,
    clock: str,
    now: int | None,
    worker_clock: bool,
    wall_limit: float | None,
    compat_miniflare: bool,
    no_dashboard: bool,
    readonly: bool,
    record_mb: int,
    no_reload: bool,
    inspector_port: int | None,
    inspect: int | None,
    show_interactive_dev_session: bool | None,
) -> None:
    """Serve your Worker: its fetch, its queues, its crons.

    A save swaps the code; no message is lost.
    """
    options = DevOptions(
        cwd=Path.cwd(),
        script=script,
        configs=config,
        env=env,
        port=port,
        ip=ip,
        persist_to=persist_to,
        vars=var,
        log_level=log_level,
        crons=not no_cron,
        reload=not no_reload,
        interactive=show_interactive_dev_session,
        virtual_clock=clock == "virtual",
        start_ms=now,
        worker_clock=worker_clock,
        wall_limit_s=wall_limit,
        compat_miniflare=compat_miniflare,
        cron_catch_up=cron_catch_up,
        inspector_port=inspector_port,
        inspect_port=None if inspect is None else _inspect(inspect),
        api_token=os.environ.get("WPY_API_TOKEN") or None,
        dashboard=not no_dashboard,
        readonly=readonly,
        record_mb=record_mb,
    )
    ctx.exit(_serve(ctx, options))


def _inspect(port: int) -> int:
    from wrangler_py.dev.inspect import InspectError, listen_for_debugger

    try:
        return listen_for_debugger(port)
    except InspectError as error:
        raise click.ClickException(str(error)) from error


def _serve(ctx: click.Context, options: DevOptions) -> int:
    shared = ctx.obj or {}
    try:
        from wrangler_py.dev.session import run_session
        from wrangler_py.dev.terminal import Terminal

        terminal = Terminal(options.log_level)
        with _runner() as runner:
            return runner.run(run_session(options, terminal, shared.pop("first", None)))
    except KeyboardInterrupt:  # before the session listens for Ctrl-C itself
        return _INTERRUPTED


def _runner() -> asyncio.Runner:
    import asyncio

    try:
        import uvloop
    except ImportError:  # Windows, PyPy
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)
