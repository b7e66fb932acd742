"""Collecting what is wrong with a config, and printing it the way wrangler does."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from wrangler_py.config import snippets
from wrangler_py.config.limits_and_texts import unexpected_field
from wrangler_py.config.model import Problem
from wrangler_py.config.positions import FieldPath, dotted
from wrangler_py.config.source import Source


class Report(Struct):
    """What is found in one file. Every finding gets its line and its field from the path it is reported with."""

    source: Source
    problems: list[Problem] = field(default_factory=list)
    #: Set while an environment's own section is looked at.
    environment: str | None = None

    def error(self, text: str, path: FieldPath = (), hint: str | None = None) -> None:
        self._add("error", text, path, hint)

    def warning(
        self,
        text: str,
        path: FieldPath = (),
        hint: str | None = None,
        *,
        excerpt: str | None = None,
        stops_deploy: bool = False,
    ) -> None:
        self._add("warning", text, path, hint, excerpt, stops_deploy)

    def within(self, environment: str) -> Report:
        """The same list, for findings in `env.<environment>`."""
        return replace(self, environment=environment)

    def setting(self, key: str, value: object) -> str:
        """How one writes a field in this file's own syntax, for hints."""
        return snippets.setting(self.source.path, key, value)

    def unexpected(self, where: str, path: FieldPath, names: Iterable[object], known: Sequence[str]) -> None:
        """Warn about each of `names` that is not in `known`, with the nearest one that is."""
        for name in names:
            if name not in known:
                near = nearest(str(name), known)
                hint = f'did you mean "{near}"?' if near else None
                if near is None and len(known) < 12:
                    hint = f"known fields: {', '.join(known)}"
                self.warning(unexpected_field(where, str(name)), (*path, str(name)), hint)

    def _add(
        self,
        severity: Literal["error", "warning"],
        text: str,
        path: FieldPath,
        hint: str | None,
        excerpt: str | None = None,
        stops_deploy: bool = False,
    ) -> None:
        self.problems.append(
            Problem(
                severity,
                text,
                file=self.source.path,
                line=self.source.line(path),
                field=dotted(path) or None,
                hint=hint,
                environment=self.environment,
                excerpt=excerpt,
                stops_deploy=stops_deploy,
            )
        )


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was most likely meant to be: `maxRetries` and `max_retrys` are `max_retries`."""
    folded = {re.sub(r"[-_]", "", k).lower(): k for k in known}
    close = difflib.get_close_matches(re.sub(r"[-_]", "", name).lower()[:80], folded, n=1, cutoff=0.7)
    return folded[close[0]] if close else None


def is_slip(name: str, other: str) -> bool:
    """Whether two names differ by one slip of the keys: a letter that is missing or another, or two that changed places.

    `jobs-a` and `jobs-b`, `jobs1` and `jobs2` do not.
    """
    start = _shared(name, other)
    end = _shared(name[start:][::-1], other[start:][::-1])
    left, right = name[start : len(name) - end], other[start : len(other) - end]
    swapped = len(left) == 2 and left == right[::-1]
    if not (swapped or (max(len(left), len(right)) == 1)) or not (left + right).isalpha():
        return False
    return end > 0 or not name[:start].endswith(("-", "_"))


def _shared(text: str, other: str) -> int:
    """How many letters two texts begin with alike."""
    return next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other)))


def shown_path(path: Path, cwd: Path | None = None) -> str:
    """`path` as seen from `cwd` (the current folder), the way wrangler prints it."""
    try:
        return os.path.relpath(path, cwd or Path.cwd())
    except ValueError:  # another drive
        return str(path)


def headline(problems: Sequence[Problem], cwd: Path | None = None) -> str:
    """The first error in one line, with its place: `wrangler.toml:3: "main" ...`. `problems` has an error."""
    first = next(problem for problem in problems if problem.severity == "error")
    place = ""
    if first.file is not None:
        place = shown_path(first.file, cwd) + (f":{first.line}" if first.line else "") + ": "
    return _printable(place + first.text.splitlines()[0])


_TITLES = {"error": ("✘ [ERROR]", "31"), "warning": ("▲ [WARNING]", "33")}
#: Anything a terminal would obey instead of printing, except line breaks.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")


def format_problems(problems: Iterable[Problem], *, color: bool, cwd: Path | None = None) -> str:
    """The problems as text for a terminal: warnings first, then errors, each grouped by file under wrangler's
    heading `Processing <file> configuration:`; what was found in an environment's section stands indented under it.
    Each has its file and line, its field and, where there is one, a hint. Ends without a line break; empty for none.
    """
    every = list(problems)
    blocks: list[str] = []
    for severity in ("warning", "error"):
        chosen = [p for p in every if p.severity == severity]
        for file in dict.fromkeys(p.file for p in chosen):
            group = [p for p in chosen if p.file == file]
            blocks.extend(_blocks(severity, file, group, color, cwd))
    return "\n\n".join(blocks)


def _blocks(severity: str, file: Path | None, group: list[Problem], color: bool, cwd: Path | None) -> list[str]:
    title, code = _TITLES[severity]
    mark = _paint(title, code, color)
    if file is None:
        return ["\n".join([f"{mark} {_printable(p.text)}", *_notes(p, "  ", None, color)]) for p in group]
    shown = shown_path(file, cwd)
    lines = [f"{mark} Processing {_printable(shown)} configuration:", ""]
    for problem in (p for p in group if p.environment is None):
        lines.extend(_bullet(problem, "  ", shown, color))
    for name in dict.fromkeys(p.environment for p in group if p.environment is not None):
        lines.append(f'  - "env.{_printable(name)}" environment configuration')
        for problem in (p for p in group if p.environment == name):
            lines.extend(_bullet(problem, "    ", shown, color))
    return ["\n".join(lines)]


def _bullet(problem: Problem, indent: str, shown: str, color: bool) -> list[str]:
    first, *rest = _printable(problem.text).rstrip().split("\n")
    inner = indent + "  "
    return [
        f"{indent}- {first}",
        *(f"{inner}{line}".rstrip() for line in rest),
        *_notes(problem, inner, shown, color),
    ]


def _notes(problem: Problem, indent: str, shown: str | None, color: bool) -> list[str]:
    notes = []
    where = f"{shown}:{problem.line}" if shown and problem.line else shown
    # A caret says where; so does the line; a field adds to them. The file alone stands in the heading already.
    place = "  ".join(part for part in (where if problem.line else None, problem.field) if part)
    if place:
        notes.append(indent + _paint(f"at {_printable(place)}", "2", color))
    if problem.excerpt:
        notes.extend(f"{indent}  {line}" for line in _printable(problem.excerpt).split("\n"))
    if problem.hint:
        first, *rest = _printable(problem.hint).split("\n")
        notes.append(indent + _paint(f"hint: {first}", "36", color))
        notes.extend(f"{indent}      {line}" for line in rest)
    return notes


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub(lambda m: m[0].encode("unicode_escape").decode("ascii"), text)


def _paint(text: str, code: str, color: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if color else text
