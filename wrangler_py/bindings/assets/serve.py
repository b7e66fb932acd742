"""The asset server of one Worker: a request in, an answer out, and whether the Worker is asked first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, unquote, urljoin, urlsplit

from msgspec import Struct

from wrangler_py.bindings.assets import limits
from wrangler_py.bindings.assets.files import AssetFiles, content_type
from wrangler_py.bindings.assets.html_handling import Found, find
from wrangler_py.bindings.assets.rules import (
    Fault,
    HeaderRules,
    Redirects,
    WorkerFirst,
    parse_headers,
    parse_redirects,
)

Headers = Sequence[tuple[str, str]]
_Rules = TypeVar("_Rules", Redirects, HeaderRules)

#: What encodeURIComponent leaves as it is, beside letters and digits.
_SAFE = "-_.!~*'()"


class AssetAnswer(Struct, frozen=True):
    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""


class AssetServer:
    """Answers from the files of `directory`; what changes there, the rule files included, is seen at once."""

    def __init__(
        self,
        directory: Path,
        *,
        html_handling: str = "auto-trailing-slash",
        not_found_handling: str = "none",
        run_worker_first: bool | Sequence[str] = False,
        compatibility_date: str | None = None,
        compatibility_flags: Collection[str] = (),
        tell: Callable[[str, Fault], None] = lambda file, fault: None,
    ) -> None:
        """`tell` hears of faulty lines in the rule files, whenever such a file is read."""
        self.files = AssetFiles(directory)
        self._html_handling = html_handling
        self._not_found_handling = not_found_handling
        self._first = WorkerFirst(run_worker_first)
        self._navigation = limits.NAVIGATION_ON in compatibility_flags or (
            limits.NAVIGATION_OFF not in compatibility_flags and (compatibility_date or "") >= limits.NAVIGATION_SINCE
        )
        self._tell = tell
        self._rules: dict[str, tuple[float, Redirects | HeaderRules]] = {}

    def goes_to_worker(self, method: str, url: str, headers: Headers) -> bool:
        """Whether a request of a client is the Worker's."""
        decided = self._first.decide(url)
        if decided is not None:
            return decided == "worker"
        navigates = self._navigation and _header(headers, "sec-fetch-mode") == "navigate"
        not_found = self._not_found_handling if self._first.routes or navigates else "none"
        return self._answer(method, url, not_found) is None

    def answer(self, method: str, url: str, headers: Headers) -> AssetAnswer:
        """The answer of the assets, whatever the Worker might say."""
        made = self._answer(method, url, self._not_found_handling)
        if made is None:
            made = AssetAnswer(404, [])
        elif isinstance(made, Found):
            made = self._file(method, made, headers)
        parts = urlsplit(url)
        rules = self._read("_headers", parse_headers, HeaderRules())
        return AssetAnswer(
            made.status, rules.apply(parts.hostname or "", parts.path or "/", list(made.headers)), made.body
        )

    def _answer(self, method: str, url: str, not_found_handling: str) -> Found | AssetAnswer | None:
        parts = urlsplit(url)
        path, search = parts.path or "/", f"?{parts.query}" if parts.query else ""
        rule = self._read("_redirects", parse_redirects, Redirects()).match(parts.netloc, path)
        if rule is not None and rule[0] != 200:
            return AssetAnswer(rule[0], [("location", _location(url, rule[1], search))])
        if rule is not None:
            path = urlsplit(urljoin(url, rule[1])).path
        decoded = _decode(path)
        found = find(decoded, self.files.exists, self._html_handling, not_found_handling)
        if found is None:
            return AssetAnswer(404, []) if rule is not None else None
        if method.upper() not in ("GET", "HEAD"):
            return AssetAnswer(405, [])
        encoded = "/".join(quote(part, safe=_SAFE) for part in (found.redirect or decoded).split("/"))
        if found.redirect is not None or encoded != path:
            return AssetAnswer(307, [("location", encoded + search)])
        return found

    def _file(self, method: str, found: Found, headers: Headers) -> AssetAnswer:
        assert found.file is not None
        tag = f'"{self.files.exists(found.file)}"'
        answer = [("etag", tag)]
        kind = content_type(found.file)
        if kind is not None:
            answer.append(("content-type", kind))
        if _header(headers, "authorization") is None and _header(headers, "range") is None:
            answer.append(("cache-control", limits.CACHE_CONTROL))
        answer.append(("cf-cache-status", "HIT"))
        if _header(headers, "if-none-match") in (tag, f"W/{tag}"):
            return AssetAnswer(304, answer)
        try:
            body = b"" if method.upper() == "HEAD" else self.files.read(found.file)
        except OSError as error:  # it was there a moment ago
            return AssetAnswer(500, [("content-type", "text/plain;charset=UTF-8")], str(error).encode())
        return AssetAnswer(found.status, answer, body)

    def _read(self, name: str, parse: Callable[[str], _Rules], none: _Rules) -> _Rules:
        """The rules of a file, read again when it has changed."""
        file = self.files.directory / name
        try:
            changed = file.stat().st_mtime
            known = self._rules.get(name)
            if known is None or known[0] != changed:
                rules = parse(file.read_text(encoding="utf-8", errors="replace"))
                known = self._rules[name] = (changed, rules)
                for fault in rules.faults:
                    self._tell(name, fault)
        except OSError:
            return none
        return known[1]  # type: ignore[return-value]


def _location(url: str, to: str, search: str) -> str:
    """Where a redirect leads; the query of the request goes along unless the rule has its own."""
    here, there = urlsplit(url), urlsplit(urljoin(url, to))
    query = f"?{there.query}" if there.query else search
    fragment = f"#{there.fragment}" if there.fragment else ""
    same = (here.scheme, here.netloc) == (there.scheme, there.netloc)
    origin = "" if same else f"{there.scheme}://{there.netloc}"
    return f"{origin}{there.path or '/'}{query}{fragment}"


def _decode(path: str) -> str:
    """Each segment decoded, one that is no good as it is; slashes that follow each other are one."""
    decoded = "/".join(_decode_segment(segment) for segment in path.split("/"))
    while "//" in decoded:
        decoded = decoded.replace("//", "/")
    return decoded


def _decode_segment(segment: str) -> str:
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        return segment


def _header(headers: Headers, name: str) -> str | None:
    return next((value for given, value in headers if given.lower() == name), None)
