"""FormData, and the two forms in which it travels. Error texts are workerd's."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from .arrays import make_array
from .blob import Blob, File, make_file
from .convert import js_string, unwrap
from .core import raise_js
from .pairs import JsPairs

_DISPOSITION = re.compile(r'content-disposition:\s*form-data\s*((?:;[^;"]*(?:"(?:[^"\\]|\\.)*")?)*)', re.IGNORECASE)
_PARAMETER = re.compile(r';\s*([\w*]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))')
_CONTENT_TYPE = re.compile(r"^content-type:\s*(.+)$", re.IGNORECASE | re.MULTILINE)
_BOUNDARY = re.compile(r'boundary\s*=\s*(?:"([^"]+)"|([^;\s]+))', re.IGNORECASE)

_NOT_A_FORM = (
    "Unrecognized Content-Type header value. FormData can only parse the following MIME types: "
    "multipart/form-data, application/x-www-form-urlencoded"
)
_NO_BOUNDARY = (
    "No boundary string in Content-Type header. The multipart/form-data MIME type requires a boundary parameter, "
    "e.g. 'Content-Type: multipart/form-data; boundary=\"abcd\"'. See RFC 7578, section 4."
)
_TRUNCATED = "No initial boundary string (or you have a truncated message)."


class FormData(JsPairs):
    __slots__ = ()

    def __init__(self, *_ignored: Any) -> None:
        self._list: list[tuple[str, Any]] = []

    def append(self, name: Any, *value: Any) -> None:
        self._list.append((js_string(name), _entry("append", *value)))

    def set(self, name: Any, *value: Any) -> None:
        key, entry = js_string(name), _entry("set", *value)
        for index, (seen, _) in enumerate(self._list):
            if seen == key:
                self._list[index:] = [(key, entry), *(item for item in self._list[index + 1 :] if item[0] != key)]
                return
        self._list.append((key, entry))

    def has(self, name: Any) -> bool:
        key = js_string(name)
        return any(seen == key for seen, _ in self._list)

    def delete(self, name: Any) -> None:
        key = js_string(name)
        self._list = [item for item in self._list if item[0] != key]

    def __iter__(self) -> Iterator[Any]:
        return iter([make_array([name, value]) for name, value in self._list])

    def __contains__(self, name: Any) -> bool:
        return self.has(name)

    def __getitem__(self, name: Any) -> Any:
        return self.get(name)


def _entry(method: str, *arguments: Any) -> Any:
    if not arguments:
        raise_js(
            "TypeError",
            f"Failed to execute '{method}' on 'FormData': parameter 2 is not of type 'File or Blob or string'.",
        )
    value = unwrap(arguments[0])
    name = arguments[1] if len(arguments) > 1 else None
    if not isinstance(value, Blob):
        return js_string(value)
    if isinstance(value, File) and name is None:
        return value
    return make_file(value._data, "blob" if name is None else js_string(name), value._type)


def encode_multipart(form: FormData, boundary: str) -> bytes:
    """The form as multipart/form-data, byte for byte as workerd writes it."""
    parts = []
    for name, value in form._list:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"'
        if isinstance(value, Blob):
            filename = value.name if isinstance(value, File) else "blob"
            kind = value._type or "application/octet-stream"
            head += f'; filename="{_quoted(filename)}"\r\nContent-Type: {kind}'
        data = value._data if isinstance(value, Blob) else value.encode("utf-8", "replace")
        parts.append(head.encode("utf-8", "replace") + b"\r\n\r\n" + data + b"\r\n")
    return b"".join(parts) + f"--{boundary}--".encode()


def new_boundary() -> str:
    return os.urandom(16).hex()


def _quoted(text: str) -> str:
    return text.replace("\n", "%0A").replace("\r", "%0D").replace('"', "%22")


def parse_form(data: bytes, content_type: str) -> FormData:
    """A body as FormData. Raises JavaScript's TypeError for another type or a broken body."""
    kind = content_type.partition(";")[0].strip().lower()
    form = FormData.new()
    if kind == "application/x-www-form-urlencoded":
        from .url import parse_query

        form._list = list(parse_query(data.decode("utf-8", "replace")))
        return form
    if kind != "multipart/form-data":
        raise_js("TypeError", _NOT_A_FORM)
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise_js("TypeError", _NO_BOUNDARY)
    _parse_multipart(form, data, (found[1] or found[2]).encode())
    return form


def _parse_multipart(form: FormData, data: bytes, boundary: bytes) -> None:
    marker = b"--" + boundary
    if not data.startswith(marker):
        start = data.find(b"\r\n" + marker)
        if start < 0:
            raise_js("TypeError", _TRUNCATED)
        data = data[start + 2 :]
    for part in (b"\r\n" + data).split(b"\r\n" + marker)[1:]:
        if part.startswith(b"--"):
            return
        head, separator, body = part.partition(b"\r\n\r\n")
        if not separator:
            raise_js("TypeError", "No body in message part.")
        text = head.decode("utf-8", "replace")
        disposition = _DISPOSITION.search(text)
        fields = {match[1].lower(): match[2] if match[2] is not None else match[3]
                  for match in _PARAMETER.finditer(disposition[1])} if disposition else {}  # fmt: skip
        if "name" not in fields:
            raise_js("TypeError", "No name parameter in Content-Disposition header.")
        name = _unquoted(fields["name"])
        if "filename" in fields:
            kind = _CONTENT_TYPE.search(text)
            content_type = kind[1].strip() if kind else "application/octet-stream"
            form._list.append((name, make_file(body, _unquoted(fields["filename"]), content_type)))
        else:
            form._list.append((name, body.decode("utf-8", "replace")))
    raise_js("TypeError", _TRUNCATED)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text).replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")
