"""A real Chromium for the dashboard: Debian's (`apt-get install chromium`) or the one that WPY_CHROMIUM names. Without one, or
without Playwright, these tests are skipped, and say so. Playwright's own download of a browser is not used.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from page import Dashboard
from session_project import Project

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: As root, without a GPU, without the network.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # No longer than a module: while Playwright runs, no other test of the process can have an event loop.
    api = pytest.importorskip("playwright.sync_api", reason="the dashboard's tests need `pip install playwright`")
    path = os.environ.get("WPY_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("the dashboard's tests need Chromium: apt-get install chromium, or WPY_CHROMIUM=/path/to/it")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS), headless=True)
        yield browser
        browser.close()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path / "app")
    yield made
    made.stop()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[object]:
    """`open_page(server, "#/queues", width=..., theme=...)`: a page of its own; what it complains of fails the test."""
    opened: list[Dashboard] = []

    def open_it(url: str, address: str = "#/", **options: object) -> Dashboard:
        opened.append(Dashboard.open(browser, url, address, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield open_it
    complaints = [complaint for page in opened for complaint in page.complaints]
    for page in opened:
        page.close()
    assert not complaints, complaints
