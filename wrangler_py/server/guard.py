"""Who may use `/cdn-cgi/*`: requests for a local host name, from a local page. Guards against DNS rebinding and against
foreign pages. Status and texts as measured on wrangler (the same text is reason phrase and body). And whether a client is
this machine.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})


def refusal(headers: Iterable[tuple[bytes, bytes]], allowed: Collection[str] = LOCAL_HOSTS) -> str | None:
    """Why a request to `/cdn-cgi/*` is refused (with 403), or None. Ports do not count."""
    for name, value in headers:
        if name == b"host":
            if _host_name(value.decode("latin-1")) not in allowed:
                return "Invalid Host header"
        elif name == b"origin" and _origin_host(value.decode("latin-1")) not in allowed:
            return "Invalid Origin header"
    return None


def is_local(address: str | None) -> bool:
    """Whether a client's address is this machine's own. Unknown: no."""
    try:
        parsed = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()


def _origin_host(origin: str) -> str:
    try:
        return _host_name(urlsplit(origin).netloc)
    except ValueError:
        return ""
