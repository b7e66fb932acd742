from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from js_project import JsProject


@pytest.fixture
def js(tmp_path: Path) -> Iterator[JsProject]:
    """A project whose sessions are ended well; skipped where workerd is not installed."""
    project = JsProject(tmp_path / "project")
    yield project
    project.stop()
