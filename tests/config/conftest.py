import sys
from pathlib import Path

import pytest

# pytest imports tests by path (importlib mode), so a helper beside them has to be made importable.
sys.path.append(str(Path(__file__).parent))

from config_project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)
