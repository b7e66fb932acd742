"""`html_handling` and `not_found_handling`: from the path of a URL to a file, to another path, or to nothing.

The rules are those of https://developers.cloudflare.com/workers/static-assets/routing/advanced/html-handling/, in the order
in which Cloudflare's asset worker tries them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from msgspec import Struct

#: Gives what tells a file from any other (its ETag), or None when there is no such file. Paths begin with "/".
Exists = Callable[[str], str | None]


class Found(Struct, frozen=True):
    """A file to answer with, or a path to send the client to."""

    file: str | None
    status: int = 200
    redirect: str | None = None


#: ("serve", file): answer with the file when it is there. ("move", file, path): send the client to `path` when that leads to
#: this very file.
_Step = tuple[Literal["serve"], str] | tuple[Literal["move"], str, str]


def find(path: str, exists: Exists, html_handling: str, not_found_handling: str) -> Found | None:
    """What answers a decoded path. None: nothing does."""
    found = _follow(path, exists, html_handling, moving=True)
    return found or _not_found(path, exists, not_found_handling)


def _follow(path: str, exists: Exists, html_handling: str, *, moving: bool) -> Found | None:
    for step in _STEPS[html_handling](path):
        if step[0] == "serve":
            if exists(step[1]) is not None:
                return Found(step[1])
        elif moving and exists(step[2]) is None:
            there = _follow(step[2], exists, html_handling, moving=False)
            if there is not None and there.file is not None and exists(there.file) == exists(step[1]):
                return Found(None, 307, step[2])
    return None


def _not_found(path: str, exists: Exists, not_found_handling: str) -> Found | None:
    if not_found_handling == "single-page-application":
        return Found("/index.html") if exists("/index.html") is not None else None
    if not_found_handling == "404-page":
        folder = path
        while folder:
            folder = folder.rpartition("/")[0]
            if exists(f"{folder}/404.html") is not None:
                return Found(f"{folder}/404.html", 404)
    return None


def _auto(path: str) -> Iterator[_Step]:
    if path.endswith("/index"):
        yield "serve", path
        yield "move", f"{path}.html", path.removesuffix("index")
        yield "move", f"{path.removesuffix('/index')}.html", path.removesuffix("/index")
    elif path.endswith("/index.html"):
        yield "move", path, path.removesuffix("index.html")
        yield "move", f"{path.removesuffix('/index.html')}.html", path.removesuffix("/index.html")
    elif path.endswith("/"):
        yield "serve", f"{path}index.html"
        yield "move", f"{path[:-1]}.html", path[:-1]
    elif path.endswith(".html"):
        bare = path.removesuffix(".html")
        yield "move", path, bare
        yield "move", f"{bare}/index.html", f"{bare}/"
    yield "serve", path
    yield "serve", f"{path}.html"
    yield "move", f"{path}/index.html", f"{path}/"


def _force(path: str) -> Iterator[_Step]:
    if path.endswith("/index"):
        folder = path.removesuffix("index")
        yield "serve", path
        yield "move", f"{path}.html", folder
        yield "move", f"{folder[:-1]}.html", folder
    elif path.endswith("/index.html"):
        folder = path.removesuffix("index.html")
        yield "move", path, folder
        yield "move", f"{folder[:-1]}.html", folder
    elif path.endswith("/"):
        yield "serve", f"{path}index.html"
        yield "serve", f"{path[:-1]}.html"
    elif path.endswith(".html"):
        bare = path.removesuffix(".html")
        yield "move", path, f"{bare}/"
        yield "serve", path
        yield "move", f"{bare}/index.html", f"{bare}/"
    yield "serve", path
    yield "move", f"{path}.html", f"{path}/"
    yield "move", f"{path}/index.html", f"{path}/"


def _drop(path: str) -> Iterator[_Step]:
    if path in ("/index", "/index.html"):
        if path == "/index":
            yield "serve", path
        yield "move", "/index.html", "/"
    elif path.endswith("/index"):
        folder = path.removesuffix("/index")
        yield "serve", path
        yield "move", f"{folder}.html", folder
        yield "move", f"{path}.html", folder
    elif path.endswith("/index.html"):
        folder = path.removesuffix("/index.html")
        yield "move", path, folder
        yield "serve", path
        yield "move", f"{folder}.html", folder
    elif path == "/":
        yield "serve", "/index.html"
    elif path.endswith("/"):
        yield "move", f"{path[:-1]}.html", path[:-1]
        yield "move", f"{path}index.html", path[:-1]
    elif path.endswith(".html"):
        bare = path.removesuffix(".html")
        yield "move", path, bare
        yield "move", f"{bare}/index.html", bare
    yield "serve", path
    yield "serve", f"{path}.html"
    yield "serve", f"{path}/index.html"


def _none(path: str) -> Iterator[_Step]:
    yield "serve", path


_STEPS: dict[str, Callable[[str], Iterator[_Step]]] = {
    "auto-trailing-slash": _auto,
    "force-trailing-slash": _force,
    "drop-trailing-slash": _drop,
    "none": _none,
}
