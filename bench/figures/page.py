"""The dashboard in a real Chromium: when it is first painted, beside a page of the same session that is one line of text."""

from __future__ import annotations

import os
import shutil
import statistics

from bench.figures import Group, Line, Value
from bench.sides import BenchError, Subject

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PAINTED = """
async () => {
  for (;;) {
    const entry = performance.getEntriesByName('first-contentful-paint')[0];
    if (entry) return entry.startTime;
    await new Promise((again) => setTimeout(again, 10));
  }
}
"""


def first_paint(subject: Subject) -> dict[str, Value]:
    """Medians of loads by a browser that has nothing in its cache."""
    path = os.environ.get("WPY_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        raise BenchError("the page's figures need Chromium: apt-get install chromium, or WPY_CHROMIUM=/path/to/it")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise BenchError("the page's figures need Playwright: pip install playwright") from None

    address = f"http://localhost:{subject.session.port}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])

        def painted(page_path: str) -> float:
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            page = context.new_page()
            page.goto(address + page_path, wait_until="commit")
            milliseconds = float(page.evaluate(_PAINTED))
            context.close()
            return milliseconds

        painted("/cdn-cgi/wpy/")  # the session imports the API with its first request
        count = 3 if subject.quick else 11
        ours = [painted("/cdn-cgi/wpy/") for _ in range(count)]
        text = [painted("/ping") for _ in range(count)]
        browser.close()
    return {"paint": statistics.median(ours), "paint_ratio": statistics.median(ours) / statistics.median(text)}


GROUPS = (
    Group(
        "page",
        (
            Line("paint", "first paint of the dashboard", "ms", "at most", 300),
            Line("paint_ratio", "  / first paint of one line of text", "x"),
        ),
        first_paint,
        wpy_alone=True,
    ),
)
