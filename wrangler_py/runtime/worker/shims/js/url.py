"""URL and URLSearchParams (https://url.spec.whatwg.org/), for the schemes that Workers meet."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus, unquote_to_bytes

from .convert import js_string
from .core import JsProxy, jsnull, own_entries, raise_js
from .pairs import JsPairs

_PORTS = {"http:": "80", "https:": "443", "ws:": "80", "wss:": "443", "ftp:": "21", "file:": ""}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_FORBIDDEN_HOST = re.compile(r"[\0-\x20#/<>?@\\^|%\x7f]")
_PATH_SAFE = "!$%&'()*+,/:;=@[]^_|~-."
_QUERY_SAFE = "!$%&()*+,/:;=?@[]^_`{|}~-.\\"
_FRAGMENT_SAFE = "!#$%&'()*+,/:;=?@[]^_{|}~-.\\"
_USER_SAFE = "!$%&'()*+,_~-."
_QUERY_PLUS_SAFE = "*-._"


class _Parts:
    __slots__ = ("fragment", "host", "opaque", "password", "path", "port", "query", "scheme", "username")

    def __init__(self) -> None:
        self.scheme = self.username = self.password = self.host = self.port = self.path = ""
        self.query: str | None = None
        self.fragment: str | None = None
        self.opaque = False


def parse_url(text: str, base: _Parts | None = None) -> _Parts | None:
    """The parts of a URL, or None when it is none."""
    text = text.strip("".join(map(chr, range(33)))).replace("\t", "").replace("\n", "").replace("\r", "")
    parts = _Parts()
    text, mark, fragment = text.partition("#")
    if mark:
        parts.fragment = quote(fragment, safe=_FRAGMENT_SAFE)
    scheme = _SCHEME.match(text)
    if scheme is None:
        return _relative(parts, text, base) if base is not None else None
    parts.scheme = scheme[1].lower() + ":"
    rest = text[scheme.end() :]
    special = parts.scheme in _PORTS
    if special:
        rest = (
            rest.replace("\\", "/")
            if "?" not in rest
            else rest.split("?")[0].replace("\\", "/") + rest[rest.index("?") :]
        )
        if base is not None and base.scheme == parts.scheme and not rest.startswith("/"):
            return _relative(parts, rest, base)
        rest = "//" + rest.lstrip("/") if parts.scheme != "file:" else "//" + rest.removeprefix("//")
    rest, mark, query = rest.partition("?")
    if mark:
        parts.query = quote(query, safe=_QUERY_SAFE if special else _QUERY_SAFE + "'")
    if not rest.startswith("//"):
        parts.opaque = not rest.startswith("/")
        parts.path = quote(rest, safe=_PATH_SAFE) if parts.opaque else _normal_path(rest)
        return parts
    authority, slash, path = rest[2:].partition("/")
    if not _authority(parts, authority, special):
        return None
    parts.path = _normal_path(slash + path) if slash or not special else "/"
    return parts


def _authority(parts: _Parts, authority: str, special: bool) -> bool:
    credentials, at, host = authority.rpartition("@")
    if at:
        user, _, password = credentials.partition(":")
        parts.username, parts.password = quote(user, safe=_USER_SAFE), quote(password, safe=_USER_SAFE)
    port = ""
    if host.startswith("["):
        end = host.find("]")
        if end < 0:
            return False
        host, port = host[: end + 1], host[end + 1 :].removeprefix(":")
    elif ":" in host:
        host, _, port = host.rpartition(":")
    if port and (not port.isascii() or not port.isdigit() or int(port) > 65535):
        return False
    if special:
        name = _host(host)
        if name is None or (not name and parts.scheme != "file:"):
            return False
        host = name
    parts.host = host
    parts.port = "" if not port or str(int(port)) == _PORTS.get(parts.scheme) else str(int(port))
    return True


def _host(host: str) -> str | None:
    if host.startswith("["):
        import ipaddress

        try:
            return f"[{ipaddress.IPv6Address(host[1:-1]).compressed}]"
        except ValueError:
            return None
    host = unquote_to_bytes(host).decode("utf-8", "replace")
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError:
            return None
    host = host.lower()
    return None if _FORBIDDEN_HOST.search(host) else host


def _relative(parts: _Parts, text: str, base: _Parts | None) -> _Parts | None:
    assert base is not None
    if base.opaque:
        return None
    text, mark, query = text.replace("\\", "/").partition("?")
    parts.scheme = base.scheme
    if text.startswith("//"):
        whole = parse_url(base.scheme + text + mark + query)
        if whole is not None:
            whole.fragment = parts.fragment
        return whole
    for name in ("username", "password", "host", "port"):
        setattr(parts, name, getattr(base, name))
    if mark:
        parts.query = quote(query, safe=_QUERY_SAFE)
    elif not text:
        parts.query = base.query
    if not text:
        parts.path = base.path
    elif text.startswith("/"):
        parts.path = _normal_path(text)
    else:
        parts.path = _normal_path(base.path.rpartition("/")[0] + "/" + text)
    return parts


def _normal_path(path: str) -> str:
    kept: list[str] = []
    segments = path.replace("\\", "/").split("/")[1:]
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        plain = segment.lower().replace("%2e", ".")
        if plain == "..":
            del kept[-1:]
            if last:
                kept.append("")
        elif plain == ".":
            if last:
                kept.append("")
        else:
            kept.append(segment if segment.isalnum() and segment.isascii() else quote(segment, safe=_PATH_SAFE))
    return "/" + "/".join(kept)


def normal_url(text: str) -> str | None:
    """A URL as JavaScript writes it, or None when it is none."""
    parts = parse_url(text)
    return None if parts is None else _href(parts)


def _href(parts: _Parts) -> str:
    text = parts.scheme
    if parts.host or parts.scheme in _PORTS:
        text += "//"
        if parts.username or parts.password:
            text += parts.username + (":" + parts.password if parts.password else "") + "@"
        text += parts.host + (":" + parts.port if parts.port else "")
    text += parts.path
    if parts.query is not None:
        text += "?" + parts.query
    return text if parts.fragment is None else text + "#" + parts.fragment


class URL(JsProxy):
    __slots__ = ("_params", "_parts")

    def __init__(self, url: Any, base: Any = None) -> None:
        parts = _parse(url, base)
        if parts is None:
            raise_js("TypeError", "Invalid URL string.")
        self._parts = parts
        self._params: URLSearchParams | None = None

    @staticmethod
    def canParse(url: Any, base: Any = None) -> bool:
        return _parse(url, base) is not None

    @staticmethod
    def parse(url: Any, base: Any = None) -> Any:
        return URL.new(url, base) if _parse(url, base) is not None else jsnull

    @property
    def href(self) -> str:
        return _href(self._parts)

    @href.setter
    def href(self, value: Any) -> None:
        parts = _parse(value, None)
        if parts is None:
            raise_js("TypeError", "Invalid URL string.")
        self._parts = parts
        if self._params is not None:
            self._params._list = parse_query(parts.query or "")

    def toString(self) -> str:
        return self.href

    def toJSON(self, _key: Any = None) -> str:
        return self.href

    @property
    def origin(self) -> str:
        return f"{self._parts.scheme}//{self.host}" if _PORTS.get(self._parts.scheme) else "null"

    @property
    def host(self) -> str:
        return self._parts.host + (":" + self._parts.port if self._parts.port else "")

    @property
    def search(self) -> str:
        return "?" + self._parts.query if self._parts.query else ""

    @search.setter
    def search(self, value: Any) -> None:
        text = js_string(value).removeprefix("?")
        self._parts.query = quote(text, safe=_QUERY_SAFE) if text else None
        if self._params is not None:
            self._params._list = parse_query(text)

    @property
    def hash(self) -> str:
        return "#" + self._parts.fragment if self._parts.fragment else ""

    @hash.setter
    def hash(self, value: Any) -> None:
        text = js_string(value).removeprefix("#")
        self._parts.fragment = quote(text, safe=_FRAGMENT_SAFE) if text else None

    @property
    def searchParams(self) -> URLSearchParams:
        if self._params is None:
            self._params = URLSearchParams.new(self._parts.query or "")
            self._params._url = self
        return self._params


def _parse(url: Any, base: Any) -> _Parts | None:
    if base is None:
        return parse_url(js_string(url))
    parts = parse_url(js_string(base))
    return None if parts is None else parse_url(js_string(url), parts)


def _accessor(name: str, field: str, write: Callable[[_Parts, str], None]) -> None:
    def read(self: URL) -> str:
        return getattr(self._parts, field)

    def assign(self: URL, value: Any) -> None:
        write(self._parts, js_string(value))

    setattr(URL, name, property(read, assign))


def _set_host(parts: _Parts, value: str) -> None:
    host = _host(value) if parts.scheme in _PORTS else value
    if host:
        parts.host = host


def _set_port(parts: _Parts, value: str) -> None:
    if not value or (value.isdigit() and int(value) <= 65535):
        parts.port = "" if value == _PORTS.get(parts.scheme) else value


def _set_scheme(parts: _Parts, value: str) -> None:
    scheme = value.rstrip(":").lower() + ":"
    if (scheme in _PORTS) == (parts.scheme in _PORTS):
        parts.scheme = scheme


_accessor("hostname", "host", _set_host)
_accessor("port", "port", _set_port)
_accessor("protocol", "scheme", _set_scheme)
_accessor("pathname", "path", lambda parts, value: setattr(parts, "path", _normal_path("/" + value.removeprefix("/"))))
_accessor("username", "username", lambda parts, value: setattr(parts, "username", quote(value, safe=_USER_SAFE)))
_accessor("password", "password", lambda parts, value: setattr(parts, "password", quote(value, safe=_USER_SAFE)))


def parse_query(text: str) -> list[tuple[str, str]]:
    """application/x-www-form-urlencoded, as WHATWG's parser reads it: a broken escape stays, bad UTF-8 is U+FFFD."""
    pairs = []
    for piece in text.split("&"):
        if piece:
            name, _, value = piece.partition("=")
            pairs.append((_decoded(name), _decoded(value)))
    return pairs


def _decoded(text: str) -> str:
    text = text.replace("+", " ")
    return unquote_to_bytes(text).decode("utf-8", "replace") if "%" in text else text


class URLSearchParams(JsPairs):
    __slots__ = ("_url",)

    def __init__(self, init: Any = None) -> None:
        self._url: URL | None = None
        self._list: list[tuple[str, str]] = []
        if init is None:
            return
        if isinstance(init, URLSearchParams):
            self._list = list(init._list)
        elif isinstance(init, (str, int, float)) or init is jsnull:
            self._list = parse_query(js_string(init).removeprefix("?"))
        elif isinstance(init, dict) or not hasattr(init, "__iter__"):
            self._list = [(name, js_string(value)) for name, value in own_entries(init)]
        else:
            for pair in init:
                items = list(pair)
                if len(items) != 2:
                    raise_js("TypeError", "Invalid URL search params sequence.")
                self._list.append((js_string(items[0]), js_string(items[1])))

    def _changed(self) -> None:
        if self._url is not None:
            self._url._parts.query = self.toString() or None

    @property
    def size(self) -> int:
        return len(self._list)

    def append(self, name: Any, value: Any) -> None:
        self._list.append((js_string(name), js_string(value)))
        self._changed()

    def set(self, name: Any, value: Any) -> None:
        key, entry = js_string(name), (js_string(name), js_string(value))
        index = next((at for at, (seen, _) in enumerate(self._list) if seen == key), len(self._list))
        self._list[index:] = [entry, *(item for item in self._list[index + 1 :] if item[0] != key)]
        self._changed()

    def has(self, name: Any, value: Any = None) -> bool:
        key = js_string(name)
        return any(seen == key and value in (None, held) for seen, held in self._list)

    def delete(self, name: Any, value: Any = None) -> None:
        key = js_string(name)
        self._list = [item for item in self._list if item[0] != key or value not in (None, item[1])]
        self._changed()

    def sort(self) -> None:
        self._list.sort(key=lambda item: item[0].encode("utf-16-be", "surrogatepass"))
        self._changed()

    def toString(self) -> str:
        return "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in self._list)

    def __iter__(self) -> Iterator[Any]:
        """The names, as of anything that has `get`, `has` and `size`; JavaScript's pairs are in `entries()`."""
        return iter([name for name, _ in self._list])

    def __len__(self) -> int:
        return len(self._list)

    def __bool__(self) -> bool:
        return bool(self._list)

    def __contains__(self, name: Any) -> bool:
        return isinstance(name, str) and self.has(name)

    def __getitem__(self, name: Any) -> Any:
        value = self.get(name)
        if value is jsnull:
            raise KeyError(name)
        return value


def _encoded(text: str) -> str:
    return quote_plus(text, safe=_QUERY_PLUS_SAFE, errors="replace").replace("~", "%7E")
