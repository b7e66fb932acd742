"""The page's files: static, from the package, under a strict policy."""

from __future__ import annotations

import hashlib
import html
import mimetypes
from pathlib import Path, PurePosixPath

from msgspec import Struct

from wrangler_py import __version__

FOLDER = Path(__file__).parents[2] / "dashboard"

#: Only what this very server serves; nothing inline, nothing framed, nothing sent elsewhere.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
#: All style sheets as one file, in this order: the page is first painted when they are there, and one request is sooner done.
ALL_CSS = "css/all.css"
_SHEETS = ("base.css", "frame.css", "screens.css")
_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
    ".svg": "image/svg+xml",
}


class File(Struct, frozen=True):
    """One file of the page, as it is served."""

    body: bytes
    content_type: str
    etag: str | None  # None: it must not be kept


def page_file(path: str, token: str, *, readonly: bool) -> File | None:
    """The file for a path after `/cdn-cgi/wpy/`; the page itself for one that names no file. None: there is none."""
    if path and "." in PurePosixPath(path).name:
        return _static(path)
    try:
        text = (FOLDER / "index.html").read_text("utf-8")
    except OSError:
        return None
    for name, value in (("token", token), ("readonly", str(readonly).lower()), ("version", __version__)):
        text = text.replace("{{" + name + "}}", html.escape(value, quote=True))
    return File(text.encode(), "text/html; charset=utf-8", None)


def _static(path: str) -> File | None:
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        return None
    file = FOLDER.joinpath(*parts)
    if path == ALL_CSS:
        return _made(b"\n".join((FOLDER / "css" / name).read_bytes() for name in _SHEETS), "text/css; charset=utf-8")
    try:
        if not file.resolve().is_relative_to(FOLDER.resolve()):
            return None
        body = file.read_bytes()
    except (OSError, ValueError):
        return None
    kind = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    if kind.startswith("text/"):
        kind += "; charset=utf-8"
    return _made(body, kind)


def _made(body: bytes, kind: str) -> File:
    return File(body, kind, f'"{hashlib.sha1(body, usedforsecurity=False).hexdigest()}"')
