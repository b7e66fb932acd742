"""The config of a session, with what no single room can say of it: the cron room judges the crons."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from wrangler_py.clock import utc_today
from wrangler_py.config.load import load_session
from wrangler_py.config.model import CronRefusal, SessionConfig


def read_session(
    configs: Sequence[Path],
    *,
    cwd: Path,
    script: Path | None = None,
    env: str | None = None,
    var_overrides: Mapping[str, str] | None = None,
    miniflare: bool = False,
) -> SessionConfig:
    """config.load.load_session as everything that runs Workers wants it. Raises ConfigError."""
    return load_session(
        configs,
        cwd=cwd,
        script=script,
        env=env,
        var_overrides=var_overrides,
        today=utc_today(),
        refused_crons=refused_crons,
        miniflare=miniflare,
    )


def refused_crons(expressions: Sequence[str]) -> Iterator[CronRefusal]:
    """Which of one Worker's crons Cloudflare refuses on deploy, and so do not fire here."""
    from wrangler_py.cron.advice import accept

    for problem in accept(expressions)[1]:
        index = expressions.index(problem.expression)
        if problem.error is None:
            hint = "it means the same as one before it; Cloudflare refuses the whole list, here it fires once"
            yield CronRefusal(index, str(problem), hint)
            continue
        from wrangler_py.cron.refusal import marked

        check = f"wpy cron check {shlex.quote(problem.expression)}"
        hint = f"{problem.error.fix or f'`{check}` says more'}\nwrangler deploy would fail; here it does not fire"
        yield CronRefusal(index, str(problem), hint, marked(problem.error))
