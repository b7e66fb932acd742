"""docs/rest-api.md names every call that is served, and no other."""

import re
from pathlib import Path

from wrangler_py.server.rest.routes import ROUTES

PAGE = (Path(__file__).parents[2] / "docs" / "rest-api.md").read_text()


def test_every_call_is_named():
    account = "/accounts/{account_id}"
    rows = re.findall(r"^\| `([A-Z]+) (/\S+)`", PAGE, re.MULTILINE)
    named = {(method, account + path) for method, path in rows}
    named |= set(re.findall(r"`(GET) (/\S+)`[, ]", PAGE.partition("Beside them")[2].partition("\n\n")[0]))
    assert named == {(route.method, route.path) for route in ROUTES}
