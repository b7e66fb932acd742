"""Where each field of a config stands in its file, so that a problem can name the line.

`tomllib` and `json` throw positions away, so these two walkers go over a text that has been parsed already and
note where every key and every array element begins. They may therefore lean on the text being well formed, and
they only run once there is something to report.
"""

from __future__ import annotations

import json
import re
import tomllib

from msgspec import Struct, field

#: A field's place in a config: keys and array indexes from the top, e.g. ("queues", "consumers", 0, "queue").
FieldPath = tuple[str | int, ...]


class Positions(Struct):
    """Offsets into the text, by field."""

    offsets: dict[FieldPath, int] = field(default_factory=dict)
    #: Keys that stand twice in one object (JSON only; TOML forbids it): the field, and its first offset.
    duplicates: list[tuple[FieldPath, int]] = field(default_factory=list)

    def find(self, path: FieldPath) -> int | None:
        """The offset of `path`, or of the nearest table around it that was written down."""
        while path:
            if path in self.offsets:
                return self.offsets[path]
            path = path[:-1]
        return None


def dotted(path: FieldPath) -> str:
    """`queues.consumers[0].queue`, as wrangler writes a field."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def json_positions(text: str) -> Positions:
    """Positions in well-formed JSON (comments and trailing commas already blanked)."""
    found = Positions()
    path: list[str | int] = []  # of the value being read
    open_with: list[str] = []
    key_next = False
    for token in _JSON_TOKEN.finditer(text):
        start = token[0][0]
        if key_next and start == '"':
            path[-1] = json.loads(token[0])
            here = tuple(path)
            if here in found.offsets:
                found.duplicates.append((here, found.offsets[here]))
            found.offsets[here] = token.start()
            key_next = False
            continue
        if open_with and open_with[-1] == "[" and start not in "],":
            found.offsets.setdefault(tuple(path), token.start())
        if start in "{[":
            open_with.append(start)
            path.append("" if start == "{" else 0)
            key_next = start == "{"
        elif start in "}]":
            open_with.pop()
            path.pop()
            key_next = False
        elif start == ",":
            if open_with[-1] == "{":
                key_next = True
            else:
                path[-1] = int(path[-1]) + 1
    return found


_TOML_BLANK = re.compile(r"(?:[ \t\n\r]|#[^\n]*)*")
_TOML_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}'
    r"|'''(?:[^']|'{1,2}(?!'))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_TOML_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_TOML_SCALAR = re.compile(r"[^,\]}\n#]*")


def toml_positions(text: str) -> Positions:
    """Positions in well-formed TOML."""
    return _TomlWalker(text).walk()


class _TomlWalker:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found = Positions()
        #: How many elements each array of tables (`[[x]]`) has so far.
        self.tables: dict[FieldPath, int] = {}

    def walk(self) -> Positions:
        table: FieldPath = ()
        while not self._blank_to_end():
            start = self.at
            if self.text.startswith("[[", start):
                table = self._header(2)
                index = self.tables.get(table, 0)
                self.tables[table] = index + 1
                table = (*table, index)
                self._note(table, start)
            elif self.text[start] == "[":
                table = self._header(1)
            else:
                self._pair(table)
        return self.found

    def _blank_to_end(self) -> bool:
        self._blank()
        return self.at >= len(self.text)

    def _blank(self) -> None:
        match = _TOML_BLANK.match(self.text, self.at)
        if match:
            self.at = match.end()

    def _note(self, path: FieldPath, offset: int) -> None:
        self.found.offsets.setdefault(path, offset)

    def _header(self, brackets: int) -> FieldPath:
        start = self.at
        self.at += brackets
        keys = self._key()
        self.at += brackets
        path: FieldPath = ()
        for i, key in enumerate(keys):
            path = (*path, key)
            self._note(path, start)
            # A name on the way may be an array of tables: the header then means its newest element.
            if path in self.tables and i < len(keys) - 1:
                path = (*path, self.tables[path] - 1)
        return path

    def _key(self) -> list[str]:
        keys = []
        while True:
            self._blank()
            quoted = _TOML_STRING.match(self.text, self.at)
            bare = _TOML_BARE_KEY.match(self.text, self.at)
            if quoted:
                keys.append(str(tomllib.loads(f"k={quoted[0]}")["k"]))
                self.at = quoted.end()
            elif bare:
                keys.append(bare[0])
                self.at = bare.end()
            else:
                raise ValueError(f"no TOML key at offset {self.at}")
            self._blank()
            if self.text[self.at : self.at + 1] != ".":
                return keys
            self.at += 1

    def _pair(self, table: FieldPath) -> None:
        start = self.at
        path = table
        for key in self._key():
            path = (*path, key)
            self._note(path, start)
        self.at += 1  # the "="
        self._value(path)

    def _value(self, path: FieldPath) -> None:
        self._blank()
        opening = self.text[self.at]
        if opening == "[":
            self._members(path, "]")
        elif opening == "{":
            self._members(path, "}")
        elif opening in "\"'":
            match = _TOML_STRING.match(self.text, self.at)
            if match is None:
                raise ValueError(f"no TOML string at offset {self.at}")
            self.at = match.end()
        else:
            match = _TOML_SCALAR.match(self.text, self.at)
            self.at = match.end() if match else self.at + 1

    def _members(self, path: FieldPath, closing: str) -> None:
        self.at += 1
        index = 0
        while True:
            self._blank()
            if self.text[self.at] == closing:
                self.at += 1
                return
            if self.text[self.at] == ",":
                self.at += 1
            elif closing == "]":
                self._note((*path, index), self.at)
                self._value((*path, index))
                index += 1
            else:
                self._pair(path)
