"""Sessions for the tests of crons; those of one module share them where they change nothing."""

import pytest
from session_project import Project


@pytest.fixture
def session_project(tmp_path):
    made = Project(tmp_path / "project")
    yield made
    made.stop()
