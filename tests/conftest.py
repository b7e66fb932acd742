"""What holds for all tests."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

#: Tests of real processes, sockets and a browser depend on what else the machine does. Where nobody looks on (CI), one that
#: fails is run again, at most so often; pytest's summary counts and names them. By hand a failure is a failure.
RERUNS_IN_CI = 2


def pytest_configure() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so does all that it starts: the tests send it to their processes."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("CI") and config.pluginmanager.hasplugin("rerunfailures"):
        for item in items:
            item.add_marker(pytest.mark.flaky(reruns=RERUNS_IN_CI))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The tests of a file stay together, and at the end no worker waits while another has tests left."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Why a test was run again: pytest names it, and shows no more once it has passed."""
    for report in terminalreporter.stats.get("rerun", ()):
        crash = getattr(report.longrepr, "reprcrash", None)
        why = f"{crash.path}:{crash.lineno}: {crash.message}" if crash is not None else str(report.longrepr)
        terminalreporter.write_line(f"RERUN {report.nodeid}: {why[:1000]}")
