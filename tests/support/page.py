"""The dashboard in a browser, for tests: opened, typed at, looked at."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator, Page

ROOT = "/cdn-cgi/wpy/"
#: How long something may take to show on a busy machine (ms).
WITHIN_MS = 20_000

#: Counts what moves without a person having done anything.
_SHIFTS = """
window.__shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.__shift += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""


class Dashboard:
    """One page. `complaints` holds what the browser said of it: errors of scripts, refused by the policy, foreign hosts."""

    def __init__(self, context: BrowserContext, page: Page, url: str) -> None:
        self.context = context
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        self.requests: list[str] = []
        #: While true, what cannot be loaded is no complaint: the test has stopped the session, or provokes refusals.
        self.lenient = False
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("console", self._console)
        page.on("request", self._request)
        self._waiting: set[Any] = set()
        page.on("requestfinished", lambda request: self._waiting.discard(request))
        page.on("requestfailed", lambda request: self._waiting.discard(request))

    @classmethod
    def open(
        cls, browser: Browser, url: str, address: str, *, width: int = 1280, height: int = 800, theme: Any = "light"
    ) -> Dashboard:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=theme,
            reduced_motion="reduce",
            permissions=["clipboard-read", "clipboard-write"],
        )
        context.set_default_timeout(WITHIN_MS)
        context.add_init_script(_SHIFTS)
        made = cls(context, context.new_page(), url)
        made.go(address)
        return made

    def close(self) -> None:
        self.context.close()

    def _console(self, message: Any) -> None:
        if message.type == "error" and not self.lenient:
            self.complaints.append(f"console: {message.text}")

    def _request(self, request: Any) -> None:
        self.requests.append(request.url)
        if not request.url.endswith("/api/events"):  # the stream, which has no end
            self._waiting.add(request)
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.complaints.append(f"foreign request: {request.url}")

    def go(self, address: str) -> None:
        self.page.goto(self.url + ROOT + address)
        self.page.locator("main .page").first.wait_for()

    def settles(self) -> None:
        """Wait until what the page has asked for is there and drawn."""
        quiet = 0
        while quiet < 3:  # what is drawn may ask for more
            self.page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn, 10)))")
            quiet = 0 if self._waiting else quiet + 1

    # Doing --------------------------------------------------------------------------------------------------------

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def button(self, name: str, *, within: str = "body", exact: bool = False) -> Locator:
        return self.page.locator(within).get_by_role("button", name=name, exact=exact)

    # Looking ------------------------------------------------------------------------------------------------------

    def sees(self, pattern: str | re.Pattern[str], *, within: str = "main") -> Locator:
        """Wait until a text shows. A `str` is a part of it."""
        found = self.page.locator(within).get_by_text(pattern).filter(visible=True).first
        try:
            found.wait_for()
        except Exception as error:
            error.add_note(f"{self.page.url} shows:\n{self.page.locator('body').inner_text()}")
            raise
        return found

    def waits_for(self, script: str, argument: Any = None) -> None:
        """Wait until JavaScript finds something true."""
        self.page.wait_for_function(script, arg=argument, timeout=WITHIN_MS)

    @property
    def rows(self) -> Locator:
        return self.page.locator("main .vrow:not(:has(.skeleton))")

    @property
    def text(self) -> str:
        return self.page.locator("main").inner_text()

    @property
    def shift(self) -> float:
        """How much has moved by itself (cumulative layout shift)."""
        return float(self.page.evaluate("window.__shift"))
