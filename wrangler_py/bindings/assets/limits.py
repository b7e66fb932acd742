"""Limits of static assets, and the values that Cloudflare fixes.

Sources: https://developers.cloudflare.com/workers/platform/limits/#static-assets,
https://developers.cloudflare.com/workers/static-assets/headers/ and .../redirects/; headers and texts measured on
wrangler 4.86.
"""

from __future__ import annotations

#: Size of one file (bytes).
MAX_FILE_SIZE = 25 * 1024 * 1024
#: Rules that `_redirects` may hold: without and with placeholders or `*`; characters of one line.
MAX_STATIC_REDIRECTS = 2000
MAX_DYNAMIC_REDIRECTS = 100
MAX_LINE = 2000
#: Rules that `_headers` may hold.
MAX_HEADER_RULES = 100

CACHE_CONTROL = "public, max-age=0, must-revalidate"
REDIRECT_STATUSES = (200, 301, 302, 303, 307, 308)
DEFAULT_REDIRECT = 302

#: Files in the folder that are about the others and are not served.
CONTROL_FILES = ("_headers", "_redirects", ".assetsignore")
#: The compatibility date from which a navigation (`Sec-Fetch-Mode: navigate`) gets what `not_found_handling` says
#: instead of the Worker, and the flags that turn that on and off.
NAVIGATION_SINCE = "2025-04-01"
NAVIGATION_ON, NAVIGATION_OFF = "assets_navigation_prefers_asset_serving", "assets_navigation_has_no_effect"
