"""What holds for all tests."""

from __future__ import annotations

import os

import pytest

#: Tests of real processes, sockets and a browser depend on what else the machine does. Where nobody looks on (CI), one that
#: fails is run again, at most so often; pytest's summary counts and names them. By hand a failure is a failure.
RERUNS_IN_CI = 2


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("CI") and config.pluginmanager.hasplugin("rerunfailures"):
        for item in items:
            item.add_marker(pytest.mark.flaky(reruns=RERUNS_IN_CI))
