import pytest
from session_project import Project


@pytest.fixture
def project(tmp_path):
    made = Project(tmp_path / "project")
    yield made
    made.stop()
