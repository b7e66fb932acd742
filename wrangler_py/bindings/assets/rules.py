"""`_headers`, `_redirects` and `run_worker_first`: their rules, read and matched.

Sources: https://developers.cloudflare.com/workers/static-assets/headers/, .../redirects/ and .../binding/#run_worker_first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from msgspec import Struct, field

from wrangler_py.bindings.assets import limits

_PLACEHOLDER = re.compile(r":([A-Za-z]\w*)")
_HOST_PLACEHOLDER = re.compile(r"\\?:([A-Za-z]\w*)")


class Fault(Struct, frozen=True):
    """A line that means nothing, and why."""

    line: int
    text: str


class Pattern:
    """The path (or https:// URL) of a rule, in which `*` stands for anything and `:name` for one segment."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.cross_host = text.startswith("https://")
        #: Whether it can match more than one path.
        self.dynamic = "*" in text or _PLACEHOLDER.search(text.removeprefix("https://")) is not None
        self._compiled = re.compile(_regex(text, self.cross_host))

    def match(self, host: str, path: str) -> dict[str, str] | None:
        """What the placeholders stand for, or None when it does not match."""
        found = self._compiled.match(f"https://{host}{path}" if self.cross_host else path)
        return None if found is None else {name: value or "" for name, value in found.groupdict().items()}


def _regex(text: str, cross_host: bool) -> str:
    parts = []
    splats = 0
    scheme_and_host, rest = "", text
    if cross_host:
        host, slash, path = text.removeprefix("https://").partition("/")
        scheme_and_host, rest = "https://" + _placeholders(host, r"[^/.]+"), slash + path
    for index, piece in enumerate(rest.split("*")):
        if index:
            parts.append("(?P<splat>.*)" if not splats else ".*")
            splats += 1
        parts.append(_placeholders(piece, r"[^/]+"))
    return scheme_and_host + "".join(parts) + r"\Z"


def _placeholders(text: str, stands_for: str) -> str:
    pieces = re.split(r":([A-Za-z]\w*)", text)
    return "".join(
        f"(?P<{piece}>{stands_for})" if index % 2 else re.escape(piece) for index, piece in enumerate(pieces)
    )


def fill(text: str, values: dict[str, str]) -> str:
    """A text with its placeholders replaced."""
    for name, value in values.items():
        text = text.replace(f":{name}", value)
    return text


# --- _redirects -----------------------------------------------------------------------------------------------------------


class Redirect(Struct, frozen=True):
    pattern: Pattern
    to: str
    status: int
    line: int


class Redirects(Struct):
    """The rules of `_redirects`. Those without placeholders are tried first."""

    static: dict[str, Redirect] = field(default_factory=dict)
    dynamic: list[Redirect] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def match(self, host: str, path: str) -> tuple[int, str] | None:
        """Status and destination for a path. Status 200: answer with what is there."""
        there = [rule for key in (f"https://{host}{path}", path) if (rule := self.static.get(key)) is not None]
        if there:
            rule = min(there, key=lambda rule: rule.line)
            return rule.status, rule.to
        for rule in self.dynamic:
            values = rule.pattern.match(host, path)
            if values is not None:
                to = fill(rule.to, values).strip()
                return rule.status, to if re.match(r"\w+://", to) else re.sub(r"/+", "/", to)
        return None


def parse_redirects(text: str) -> Redirects:
    """The rules of a `_redirects` file, and what is wrong with the others."""
    found = Redirects()
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        fault = _redirect(line, number, found)
        if fault:
            found.faults.append(Fault(number, fault))
    return found


def _redirect(line: str, number: int, found: Redirects) -> str | None:
    if len(line) > limits.MAX_LINE:
        return f"the line is longer than {limits.MAX_LINE} characters"
    words = [word for word in re.split(r"\s+", line) if word]
    comment = next((index for index, word in enumerate(words) if word.startswith("#")), len(words))
    words = words[:comment]
    if not 2 <= len(words) <= 3:
        return f"expected a path, a destination and perhaps a status, got {len(words)} words"
    source, to = words[0], words[1]
    if not source.startswith("/"):
        return "the path has to begin with /"
    if not (to.startswith("/") or re.match(r"https?://", to)):
        return "the destination has to begin with / or http(s)://"
    try:
        status = int(words[2]) if len(words) == 3 else limits.DEFAULT_REDIRECT
    except ValueError:
        status = 0
    if status not in limits.REDIRECT_STATUSES:
        return f"valid statuses are {', '.join(map(str, limits.REDIRECT_STATUSES))}, got {words[2]}"
    if status == 200 and not to.startswith("/"):
        return "a proxied (200) redirect can only lead to a path"
    if source.rstrip("/") == to.rstrip("/") and source != "/*":
        return "it would redirect to itself for ever"
    try:
        pattern = Pattern(source)
    except re.error:
        return "a placeholder stands twice in it"
    if pattern.dynamic:
        if len(found.dynamic) >= limits.MAX_DYNAMIC_REDIRECTS:
            return f"there are more than {limits.MAX_DYNAMIC_REDIRECTS} rules with placeholders"
        found.dynamic.append(Redirect(pattern, to, status, number))
        return None
    if source in found.static:
        return f"{source} has a rule already, in line {found.static[source].line}"
    if len(found.static) >= limits.MAX_STATIC_REDIRECTS:
        return f"there are more than {limits.MAX_STATIC_REDIRECTS} rules"
    found.static[source] = Redirect(pattern, to, status, number)
    return None


# --- _headers -------------------------------------------------------------------------------------------------------------


class HeaderRule(Struct):
    pattern: Pattern
    line: int
    set: list[tuple[str, str]] = field(default_factory=list)
    unset: list[str] = field(default_factory=list)


class HeaderRules(Struct):
    """The rules of `_headers`."""

    rules: list[HeaderRule] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def apply(self, host: str, path: str, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """`headers` with what all matching rules say. The first rule that sets a name replaces, later ones add."""
        replaced: set[str] = set()
        for rule in self.rules:
            values = rule.pattern.match(host, path)
            if values is None:
                continue
            for name in rule.unset:
                headers = [item for item in headers if item[0].lower() != name.lower()]
            for name, value in rule.set:
                lower = name.lower()
                if lower not in replaced:
                    headers = [item for item in headers if item[0].lower() != lower]
                    replaced.add(lower)
                headers.append((lower, fill(value, values)))
        return headers


def parse_headers(text: str) -> HeaderRules:
    """The rules of a `_headers` file, and what is wrong with the others."""
    found = HeaderRules()
    rule: HeaderRule | None = None
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if len(line) > limits.MAX_LINE:
            found.faults.append(Fault(number, f"the line is longer than {limits.MAX_LINE} characters"))
        elif line.startswith(("/", "https://")):
            rule = _header_rule(line, number, found)
        elif rule is None:
            found.faults.append(Fault(number, "a path (beginning with / or https://) has to come before it"))
        elif line.startswith("!"):
            rule.unset.append(line[1:].strip())
        else:
            name, colon, value = line.partition(":")
            name, value = name.strip(), value.strip()
            if not colon or not name or not value or re.search(r"\s", name):
                found.faults.append(Fault(number, "expected a header, as in `Name: value`"))
            else:
                _add(rule.set, name, value)
    found.rules = [rule for rule in found.rules if rule.set or rule.unset]
    return found


def _header_rule(line: str, number: int, found: HeaderRules) -> HeaderRule | None:
    if len(found.rules) >= limits.MAX_HEADER_RULES:
        found.faults.append(Fault(number, f"there are more than {limits.MAX_HEADER_RULES} rules"))
        return None
    if line.count("*") > 1:
        found.faults.append(Fault(number, "only one * may stand in a path"))
        return None
    try:
        rule = HeaderRule(Pattern(line), number)
    except re.error:
        found.faults.append(Fault(number, "a placeholder stands twice in it"))
        return None
    found.rules.append(rule)
    return rule


def _add(headers: list[tuple[str, str]], name: str, value: str) -> None:
    """Values of one name within one rule are joined."""
    for index, (seen, before) in enumerate(headers):
        if seen.lower() == name.lower():
            headers[index] = (seen, f"{before}, {value}")
            return
    headers.append((name, value))


# --- run_worker_first -----------------------------------------------------------------------------------------------------


class WorkerFirst:
    """Which requests reach the Worker before the assets: all, none, or by patterns, of which `!` ones say "not these"."""

    def __init__(self, setting: bool | Iterable[str]) -> None:
        self.always = setting is True
        patterns = [] if isinstance(setting, bool) else list(setting)
        self.routes = bool(patterns)
        self._worker = [Pattern(pattern) for pattern in patterns if not pattern.startswith("!")]
        self._assets = [Pattern(pattern[1:]) for pattern in patterns if pattern.startswith("!")]

    def decide(self, url: str) -> str | None:
        """ "assets", "worker", or None when no rule says."""
        parts = urlsplit(url)
        host, path = parts.hostname or "", parts.path or "/"
        if any(pattern.match(host, path) is not None for pattern in self._assets):
            return "assets"
        if self.always or any(pattern.match(host, path) is not None for pattern in self._worker):
            return "worker"
        return None
