"""Source maps (https://tc39.es/ecma426/): positions in a bundle, back to the user's file and line."""

from __future__ import annotations

import json
import os
import re
from bisect import bisect_right
from functools import cached_property
from pathlib import Path

_BASE64 = {c: i for i, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")}

#: (column in the bundle, source, line in it, column in it); all from 0.
_Segment = tuple[int, int, int, int]


class SourceMap:
    """The map of one bundle, read when it is first needed."""

    def __init__(self, file: Path, base: Path, root: Path) -> None:
        """Sources are relative to `base`; they are shown relative to `root` where they lie in it."""
        self._file = file
        self._base = base
        self._root = root

    @cached_property
    def _data(self) -> tuple[list[str], list[list[_Segment]]]:
        try:
            data = json.loads(self._file.read_bytes())
        except (OSError, ValueError):  # the build that made it is gone: positions stay those of the bundle
            return [], []
        return [self._shown(source) for source in data["sources"]], _decode(data["mappings"])

    def _shown(self, source: str) -> str:
        path = os.path.normpath(self._base / source)
        relative = os.path.relpath(path, self._root)
        return path if relative.startswith("..") and not Path(path).is_relative_to(self._root) else relative

    def original(self, line: int, column: int) -> tuple[str, int, int] | None:
        """(file, line, column) for a line and column of the bundle, all from 1."""
        sources, lines = self._data
        if not 0 < line <= len(lines):
            return None
        segments = lines[line - 1]
        index = bisect_right(segments, column - 1, key=lambda segment: segment[0]) - 1
        if index < 0:
            return None
        _, source, source_line, source_column = segments[index]
        return sources[source], source_line + 1, source_column + 1


def _decode(mappings: str) -> list[list[_Segment]]:
    lines: list[list[_Segment]] = []
    source = line = column = 0
    for row in mappings.split(";"):
        segments: list[_Segment] = []
        at = 0
        for segment in row.split(","):
            if not segment:
                continue
            fields = _numbers(segment)
            at += fields[0]
            if len(fields) >= 4:
                source += fields[1]
                line += fields[2]
                column += fields[3]
                segments.append((at, source, line, column))
        lines.append(segments)
    return lines


def _numbers(segment: str) -> list[int]:
    numbers: list[int] = []
    value = shift = 0
    for character in segment:
        digit = _BASE64[character]
        value |= (digit & 31) << shift
        if digit & 32:
            shift += 5
            continue
        numbers.append(-(value >> 1) if value & 1 else value >> 1)
        value = shift = 0
    return numbers


#: A position in a stack: `worker/index.js:12:34`, also behind `file:///`.
_POSITION = re.compile(r"(?:file:///)?([A-Za-z0-9_-]+)/([^\s():]+?):(\d+):(\d+)")
#: Frames of wpy's own modules, which nobody wrote.
_OWN = re.compile(
    r"^\s+at .*\bwpy-(?:(?:entry|console|rpc|workflow|service-worker|user)\.js|internal:\w+):\d+.*(?:\n|$)",
    re.MULTILINE,
)


class StackMapper:
    """Rewrites stacks of the Workers of one workerd."""

    def __init__(self) -> None:
        #: By Worker: the name of its bundled module, and its map.
        self.maps: dict[str, tuple[str, SourceMap]] = {}

    def mapped(self, text: str) -> str:
        """A stack with the user's own files and lines, and without the frames of wpy's shim."""
        return _POSITION.sub(self._replace, _OWN.sub("", text)).rstrip("\n")

    def where(self, stack: str) -> str | None:
        """`file:line` of the first frame that is the user's."""
        for frame in _OWN.sub("", stack).split("\n"):
            found = _POSITION.search(frame)
            if found is not None:
                return self._replace(found).rpartition(":")[0]
        return None

    def _replace(self, found: re.Match[str]) -> str:
        worker, module, line, column = found.groups()
        name, source_map = self.maps.get(worker, ("", None))
        if source_map is not None and module == name:
            original = source_map.original(int(line), int(column))
            if original is not None:
                return f"{original[0]}:{original[1]}:{original[2]}"
        return found.group() if worker not in self.maps else f"{module}:{line}:{column}"
