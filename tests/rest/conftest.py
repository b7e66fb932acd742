from collections.abc import Iterator
from pathlib import Path

import pytest

from .api import Api, session


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A session shared by the tests of one file; each makes queues of its own."""
    with session(tmp_path_factory.mktemp("rest") / "project") as made:
        yield made


@pytest.fixture
def own_api(tmp_path: Path) -> Iterator[Api]:
    """A session of this test alone, whose worker consumes `jobs`."""
    with session(tmp_path / "project") as made:
        yield made
