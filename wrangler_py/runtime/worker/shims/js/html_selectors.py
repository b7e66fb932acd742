"""The CSS selectors that HTMLRewriter knows (https://developers.cloudflare.com/workers/runtime-apis/html-rewriter/#selectors)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from .core import raise_js

_NAME = r"(?:[-\w]|\\.|[^\x00-\x7f])+"
_PART = re.compile(
    rf"""(?P<tag>\*|{_NAME})|\#(?P<id>{_NAME})|\.(?P<cls>{_NAME})
    |\[\s*(?P<attr>{_NAME})\s*(?:(?P<op>[~|^$*]?=)\s*(?:"(?P<dq>[^"]*)"|'(?P<sq>[^']*)'|(?P<bare>[^\s\]]+))\s*(?P<flag>[iIsS])?\s*)?\]
    |:(?P<pseudo>first-child|first-of-type|nth-child|nth-of-type|not)(?P<open>\()?""",
    re.VERBOSE,
)


class Node(Protocol):
    """An open element, as selectors see it."""

    name: str
    #: Its place among its parent's children, and among those of its name; both from 1.
    index: int
    index_of_type: int
    parent: Any

    def attribute(self, name: str) -> str | None: ...


Test = Callable[[Any], bool]


@dataclass(slots=True)
class _Compound:
    tests: list[Test] = field(default_factory=list)
    #: How the compound before it is related: " " (any ancestor), ">" (the parent), "" (it is the first).
    relation: str = ""

    def matches(self, node: Any) -> bool:
        return all(test(node) for test in self.tests)


def compile_selector(text: str) -> Test:
    """A test of nodes. Raises JavaScript's TypeError for a selector that HTMLRewriter does not know."""
    alternatives = [_complex(part) for part in _split(text)]
    return lambda node: any(_chain_matches(chain, node) for chain in alternatives)


def _split(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for at, character in enumerate(text):
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def _bad(text: str) -> Any:
    raise_js("TypeError", f"Parser error: invalid or unsupported selector `{text.strip()}`.")


def _complex(text: str) -> list[_Compound]:
    given = text.strip()
    chain = [_Compound()]
    at = 0
    while at < len(given):
        space = re.compile(r"\s*(>)?\s*").match(given, at)
        assert space is not None
        if space.end() > at:
            if not chain[-1].tests:
                _bad(text)
            chain.append(_Compound(relation=space[1] or " "))
            at = space.end()
            continue
        found = _PART.match(given, at)
        if found is None:
            _bad(text)
        assert found is not None
        at = found.end()
        if found["pseudo"]:
            argument = None
            if found["open"]:
                close = _closing(given, at, text)
                argument = given[at:close]
                at = close + 1
            chain[-1].tests.append(_pseudo(found["pseudo"], argument, text))
        else:
            chain[-1].tests.append(_simple(found))
    if not all(compound.tests for compound in chain):
        _bad(text)
    return chain


def _closing(text: str, at: int, whole: str) -> int:
    depth = 1
    for place in range(at, len(text)):
        depth += (text[place] == "(") - (text[place] == ")")
        if not depth:
            return place
    return int(_bad(whole))


def _simple(found: Any) -> Test:
    if found["tag"]:
        tag = _plain(found["tag"]).lower()
        return lambda node: tag == "*" or node.name == tag
    if found["id"]:
        wanted = _plain(found["id"])
        return lambda node: node.attribute("id") == wanted
    if found["cls"]:
        name = _plain(found["cls"])
        return lambda node: name in (node.attribute("class") or "").split()
    return _attribute(_plain(found["attr"]).lower(), found)


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _attribute(name: str, found: Any) -> Test:
    operator = found["op"]
    if operator is None:
        return lambda node: node.attribute(name) is not None
    value = next(found[kind] for kind in ("dq", "sq", "bare") if found[kind] is not None)
    fold = str.lower if (found["flag"] or "").lower() == "i" else str
    wanted = fold(value)
    tests: dict[str, Callable[[str], bool]] = {
        "=": lambda has: has == wanted,
        "^=": lambda has: bool(wanted) and has.startswith(wanted),
        "$=": lambda has: bool(wanted) and has.endswith(wanted),
        "*=": lambda has: bool(wanted) and wanted in has,
        "~=": lambda has: wanted in has.split(),
        "|=": lambda has: has == wanted or has.startswith(f"{wanted}-"),
    }
    test = tests[operator]

    def matches(node: Any) -> bool:
        has = node.attribute(name)
        return has is not None and test(fold(has))

    return matches


def _pseudo(name: str, argument: str | None, text: str) -> Test:
    if name == "not":
        if argument is None:
            _bad(text)
        inner = compile_selector(argument or "")
        return lambda node: not inner(node)
    if name in ("first-child", "first-of-type"):
        argument = "1"
    step, offset = _nth(argument or "", text)

    def matches(node: Any) -> bool:
        place = node.index_of_type if name.endswith("type") else node.index
        distance = place - offset
        return distance == 0 if step == 0 else distance % step == 0 and distance // step >= 0

    return matches


def _nth(argument: str, text: str) -> tuple[int, int]:
    given = argument.strip().lower().replace(" ", "")
    if given in ("odd", "even"):
        return 2, 1 if given == "odd" else 0
    found = re.fullmatch(r"(?:([+-]?\d*)n)?([+-]?\d+)?", given)
    if not given or found is None:
        _bad(text)
    assert found is not None
    step = found[1]
    return 0 if step is None else int(f"{step}1" if step in ("", "+", "-") else step), int(found[2] or 0)


def _chain_matches(chain: list[_Compound], node: Any) -> bool:
    if not chain[-1].matches(node):
        return False
    if len(chain) == 1:
        return True
    above = node.parent
    if chain[-1].relation == ">":
        return above is not None and _chain_matches(chain[:-1], above)
    while above is not None:
        if _chain_matches(chain[:-1], above):
            return True
        above = above.parent
    return False
