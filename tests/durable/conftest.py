"""Projects with Durable Objects and workflows, and sessions of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from session_project import Project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path / "project")
    yield made
    for server in made.servers:
        server.destroy()
