"""One config file, read: its bytes checked, its syntax parsed, and every field's line to be had."""

from __future__ import annotations

import ast
import errno
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from msgspec import Struct

from wrangler_py.config import jsonc
from wrangler_py.config.limits_and_texts import MAX_CONFIG_BYTES, MAX_NESTING
from wrangler_py.config.model import Problem
from wrangler_py.config.positions import FieldPath, Positions, dotted, json_positions, toml_positions

#: What a config file may be called (wrangler reads any other file as an empty config, without a word).
SUFFIXES = (".toml", ".json", ".jsonc")

# The order matters: the mark of UTF-32 LE begins with that of UTF-16 LE.
_FOREIGN_MARKS = (
    (b"\x00\x00\xfe\xff", "UTF-32 BE"),
    (b"\xff\xfe\x00\x00", "UTF-32 LE"),
    (b"\xfe\xff", "UTF-16 BE"),
    (b"\xff\xfe", "UTF-16 LE"),
)
_KEY = r"(?:[A-Za-z0-9_-]++|\"[^\"\n]*+\"|'[^'\n]*+')"
_ABSURD_KEY = re.compile(rf"(?:^|[{{,])[ \t]*+\[?+\[?+(?:[ \t]*+{_KEY}[ \t]*+\.){{{MAX_NESTING}}}", re.MULTILINE)
_TOML_PLACE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")
#: Python turns no more digits than this into an integer (sys.int_info.default_max_str_digits).
_ENDLESS_INTEGER = re.compile(r"[0-9_]{4300,}")
_TUPLE = re.compile(r"\(['\"].*\)")
_EXCERPT_WIDTH = 100


class SourceError(Exception):
    """A file that could not be read or parsed. `problem` says what and where."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


class Source(Struct):
    """A parsed config file. `data` is its top-level table."""

    path: Path
    text: str
    data: dict[str, Any]
    #: True when some key stands twice in one object of a JSON file.
    repeated_keys: bool = False
    _positions: Positions | None = None

    @property
    def is_toml(self) -> bool:
        return self.path.suffix == ".toml"

    def line(self, path: FieldPath) -> int | None:
        """1-based line of a field, or of the nearest table around it; None for the whole file."""
        offset = self._index().find(path)
        return None if offset is None else self.line_at(offset)

    def line_at(self, offset: int) -> int:
        return self.text.count("\n", 0, offset) + 1

    def repeated(self) -> list[tuple[FieldPath, int]]:
        """Each key that stands twice in one object, with the line of its first appearance."""
        if not self.repeated_keys:
            return []
        return [(path, self.line_at(first)) for path, first in self._index().duplicates]

    def _index(self) -> Positions:
        if self._positions is None:
            self._positions = toml_positions(self.text) if self.is_toml else json_positions(self.text)
        return self._positions


def read_source(path: Path) -> Source:
    """Read and parse a config file. Raises SourceError."""
    if path.suffix not in SUFFIXES:
        raise SourceError(
            Problem(
                "error",
                f'A config file ends in .toml, .json or .jsonc, but got "{path.name}".',
                file=path,
                hint="rename it, or leave -c/--config out and let wpy look for wrangler.toml",
            )
        )
    text = read_text(path, MAX_CONFIG_BYTES)
    source = _parse_toml(path, text) if path.suffix == ".toml" else _parse_json(path, text)
    _check_values(source)
    return source


def read_text(path: Path, limit: int) -> str:
    """The text of a UTF-8 file of at most `limit` bytes, without a byte order mark. Raises SourceError."""
    raw = _read_bytes(path, limit)
    for mark, encoding in _FOREIGN_MARKS:
        if raw.startswith(mark):
            # wrangler's text and advice.
            raise SourceError(
                Problem(
                    "error",
                    f"Configuration file contains {encoding} byte order marker",
                    file=path,
                    line=1,
                    hint=f"the file appears to be encoded as {encoding}; save it as UTF-8 without BOM",
                )
            )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        bad = raw[error.start]
        raise SourceError(
            Problem(
                "error",
                f"{path.name} is not valid UTF-8: byte 0x{bad:02x} at offset {error.start}.",
                file=path,
                line=raw.count(b"\n", 0, error.start) + 1,
                hint="save it as UTF-8",
            )
        ) from error


def _read_bytes(path: Path, limit: int) -> bytes:
    try:
        # Never open what is not a file: a pipe would hang, a device would not end.
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        with path.open("rb") as file:
            raw = file.read(limit + 1)
            size = os.fstat(file.fileno()).st_size
    except (OSError, ValueError) as error:  # ValueError: a NUL or a lone surrogate in the name
        raise SourceError(_unreadable(path, error)) from error
    if len(raw) > limit:
        raise SourceError(
            Problem(
                "error",
                f"{path.name} has {size:,} bytes; wpy reads at most {limit:,}.",
                file=path,
                hint="is this the right file?",
            )
        )
    return raw


def _unreadable(path: Path, error: OSError | ValueError) -> Problem:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    hint = None
    if isinstance(error, FileNotFoundError):
        near = [s for s in ("wrangler.toml", "wrangler.json", "wrangler.jsonc") if _exists(path.with_name(s))]
        hint = f"there is a {near[0]} in that folder" if near else "check the path"
    elif isinstance(error, IsADirectoryError):
        hint = "name the file, not the folder"
    elif isinstance(error, PermissionError):
        hint = "give yourself read permission: chmod u+r"
    return Problem(
        "error", f"Could not read file: {path.name} ({reason[:1].lower()}{reason[1:]})", file=path, hint=hint
    )


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _parse_toml(path: Path, text: str) -> Source:
    text = text.replace("\r\n", "\n")
    absurd = _ABSURD_KEY.search(text)
    if absurd:  # tomllib takes minutes over a key of some thousand dots
        raise SourceError(_too_deep(path, text.count("\n", 0, absurd.end()) + 1))
    try:
        return Source(path, text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SourceError(_toml_problem(path, text, str(error))) from error
    except RecursionError as error:
        raise SourceError(_too_deep(path)) from error
    except ValueError as error:
        digits = _ENDLESS_INTEGER.search(text)
        if digits is None:
            raise
        line = text.count("\n", 0, digits.start()) + 1
        raise SourceError(_inexact_integer(path, line)) from error


def _toml_problem(path: Path, text: str, message: str) -> Problem:
    place = _TOML_PLACE.search(message)
    message = _TOML_PLACE.sub("", message)
    line = column = None
    if place and place[1]:
        line, column = int(place[1]), int(place[2])
    elif place:
        line = text.rstrip("\n").count("\n") + 1
        column = len(text.rstrip("\n").rpartition("\n")[2]) + 1
    # tomllib prints a key as a Python tuple.
    message = _TUPLE.sub(lambda key: f'"{dotted(ast.literal_eval(key[0]))}"', message)
    hint = None
    if "nvalid value" in message:
        hint = 'texts stand in quotes: main = "src/entry.py"; true, false and numbers do not'
    if "overwrite a value" in message or "twice" in message:
        hint = "a key and a [table] may each stand only once; [[name]] adds one more entry to a list"
    return Problem(
        "error",
        f"Invalid TOML document: {message[:1].lower()}{message[1:]}",
        file=path,
        line=line,
        hint=hint,
        excerpt=_excerpt(text, line, column) if line and column else None,
    )


def _parse_json(path: Path, text: str) -> Source:
    if not text.strip():
        raise SourceError(_empty(path))
    try:
        strict = jsonc.blank_extras(text)
        value, repeated = jsonc.parse(strict)
    except jsonc.JsoncError as error:
        line = text.count("\n", 0, error.offset) + 1
        column = error.offset - (text.rfind("\n", 0, error.offset) + 1) + 1
        raise SourceError(
            Problem(
                "error",
                f"Invalid JSON document: {error.text}",
                file=path,
                line=line,
                hint=error.hint,
                excerpt=_excerpt(text, line, column),
            )
        ) from error
    except RecursionError as error:
        raise SourceError(_too_deep(path)) from error
    if not isinstance(value, dict):
        kind = "an array" if isinstance(value, list) else f"{value!r:.40}"
        raise SourceError(
            Problem(
                "error",
                f"The top level of {path.name} should be an object but got {kind}.",
                file=path,
                line=1,
                hint='a config is written in braces: {"name": "...", "main": "..."}',
            )
        )
    return Source(path, strict, value, repeated)


def _empty(path: Path) -> Problem:
    return Problem(
        "error",
        f"{path.name} is empty.",
        file=path,
        hint='it needs at least name, main and compatibility_date, e.g. main = "src/entry.py"'
        if path.suffix == ".toml"
        else 'it needs at least name, main and compatibility_date, e.g. {"main": "src/entry.py"}',
    )


def empty_problem(source: Source) -> Problem | None:
    """The problem to report when a file has nothing in it (TOML of blanks and comments is legal)."""
    return _empty(source.path) if not source.data else None


def _too_deep(path: Path, line: int | None = None) -> Problem:
    return Problem("error", f"{path.name} is nested more than {MAX_NESTING} levels deep.", file=path, line=line)


def _inexact_integer(path: Path, line: int | None, field: str | None = None) -> Problem:
    text = "Invalid TOML document: integer value cannot be represented losslessly"  # wrangler's text
    return Problem("error", text, file=path, line=line, field=field, hint="put it in quotes")


def _check_values(source: Source) -> None:
    """Refuse what no config means and what would break later steps: endless nesting, and TOML integers that
    JavaScript cannot hold (wrangler's text)."""
    level: list[tuple[FieldPath, Any]] = [((), source.data)]
    for _ in range(MAX_NESTING):
        deeper: list[tuple[FieldPath, Any]] = []
        for path, value in level:
            if isinstance(value, dict):
                deeper.extend(((*path, key), item) for key, item in value.items())
            elif isinstance(value, list):
                deeper.extend(((*path, i), item) for i, item in enumerate(value))
            elif isinstance(value, int) and abs(value) > jsonc.MAX_SAFE_INTEGER:
                raise SourceError(_inexact_integer(source.path, source.line(path), dotted(path)))
        if not deeper:
            return
        level = deeper
    raise SourceError(_too_deep(source.path))


def _excerpt(text: str, line: int, column: int) -> str:
    """The line with a caret under `column` (1-based); a long line is cut around it."""
    content = text.split("\n")[line - 1].rstrip("\r") if line <= text.count("\n") + 1 else ""
    start = max(0, column - 1 - _EXCERPT_WIDTH // 2) if len(content) > _EXCERPT_WIDTH else 0
    shown = content[start : start + _EXCERPT_WIDTH]
    # Tabs stay tabs, so that the caret stands under its character in any terminal.
    pad = "".join("\t" if c == "\t" else " " for c in content[start : column - 1]).ljust(column - 1 - start)
    gutter = f"{line} | "
    return f"{gutter}{shown}\n{' ' * (len(gutter) - 2)}| {pad}^"
