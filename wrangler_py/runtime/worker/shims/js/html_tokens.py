"""HTML cut into tokens that keep their source, so that what nobody changes leaves as it came.

The states are those of https://html.spec.whatwg.org/#tokenization that matter to a rewriter: text, tags, comments, the
doctype, and elements whose content is text. Input comes in pieces; an unfinished token waits for the next one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

#: Elements whose content is text up to their end tag. In those of `ESCAPABLE` entities count.
RAW_TEXT = frozenset(
    ("script", "style", "xmp", "iframe", "noembed", "noframes", "noscript", "textarea", "title", "plaintext")
)
VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
)

_TAG_NAME = re.compile(r"[A-Za-z][^\s/>]*")
_ATTRIBUTE = re.compile(
    r"""[\s/]*(?P<source>(?P<name>[^\s/>][^\s/>=]*)(?:\s*=\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s>]*)))?)"""
)


@dataclass(slots=True)
class Token:
    """`kind`: "text", "start", "end", "comment", "doctype". `source` is how it stood in the page."""

    kind: str
    source: str
    name: str = ""
    #: Name in lower case, value, and how it stood in the page.
    attributes: list[tuple[str, str, str]] = field(default_factory=list)
    self_closing: bool = False
    #: A comment's text.
    text: str = ""


class Tokenizer:
    """`feed` pieces, then `close`; both give the tokens that are complete."""

    def __init__(self) -> None:
        self._rest = ""
        #: The element whose content is text, or "".
        self._raw = ""

    def feed(self, piece: str) -> list[Token]:
        return self._cut(self._rest + piece, last=False)

    def close(self) -> list[Token]:
        return self._cut(self._rest, last=True)

    def _cut(self, page: str, *, last: bool) -> list[Token]:
        tokens: list[Token] = []
        at, size = 0, len(page)
        while at < size:
            end = self._text_end(page, at)
            if end > at:
                tokens.append(Token("text", page[at:end]))
                at = end
                continue
            found = self._markup(page, at)
            if found is None:
                if not last:
                    break
                tokens.append(Token("text", page[at:]))
                at = size
                break
            tokens.append(found)
            at += len(found.source)
            if found.kind == "start" and found.name in RAW_TEXT:
                self._raw = found.name
            elif found.kind == "end":
                self._raw = ""
        self._rest = page[at:]
        return tokens

    def _text_end(self, page: str, at: int) -> int:
        """Where the text that begins at `at` ends: at the next markup."""
        while True:
            found = page.find("<", at)
            if found < 0:
                return len(page)
            if self._raw:
                if self._raw == "plaintext":
                    return len(page)
                wanted = f"</{self._raw}"
                after = page[found : found + len(wanted) + 1].lower()
                if wanted.startswith(after) or (
                    after.startswith(wanted) and after[len(wanted) :] in (*"\t\n\f\r />", "")
                ):
                    return found
            elif found + 1 >= len(page) or page[found + 1].isalpha() or page[found + 1] in "!/?":
                return found
            at = found + 1

    def _markup(self, page: str, at: int) -> Token | None:
        """The token that begins with the "<" at `at`; None when its end has not come yet."""
        after = page[at + 1 : at + 2]
        if not after:
            return None
        if after.isalpha():
            return _start_tag(page, at)
        if after == "/":
            if not page[at + 2 : at + 3]:
                return None
            end = page.find(">", at)
            if end < 0:
                return None
            found = _TAG_NAME.match(page, at + 2)
            source = page[at : end + 1]
            return Token("comment", source) if found is None else Token("end", source, found[0].lower())
        return _declaration(page, at)


def _declaration(page: str, at: int) -> Token | None:
    if page.startswith("<!--", at):
        if page.startswith("<!-->", at) or page.startswith("<!--->", at):
            end = page.index(">", at)
            return Token("comment", page[at : end + 1])
        found = re.compile(r"--!?>").search(page, at + 4)
        if found is None:
            return None
        return Token("comment", page[at : found.end()], text=page[at + 4 : found.start()])
    if "<!--".startswith(page[at : at + 4]) and len(page) - at < 4:
        return None
    end = page.find(">", at)
    if end < 0:
        return None
    source = page[at : end + 1]
    if source[:9].lower() == "<!doctype":
        return Token("doctype", source, text=source[9:-1].strip())
    return Token("comment", source, text=source[1:-1].removeprefix("!"))


def _start_tag(page: str, at: int) -> Token | None:
    found = _TAG_NAME.match(page, at + 1)
    assert found is not None
    place = found.end()
    attributes: list[tuple[str, str, str]] = []
    while True:
        rest = re.compile(r"[\s/]*").match(page, place)
        assert rest is not None
        if rest.end() >= len(page):
            return None
        if page[rest.end()] == ">":
            source = page[at : rest.end() + 1]
            return Token("start", source, found[0].lower(), attributes, self_closing=rest[0].endswith("/"))
        attribute = _ATTRIBUTE.match(page, place)
        if attribute is None or attribute.end() >= len(page):
            return None
        if attribute["bare"] is not None and attribute["bare"][:1] in ("'", '"'):
            return None  # a quoted value whose end has not come yet
        name = attribute["name"].lower()
        value = next((attribute[kind] for kind in ("double", "single", "bare") if attribute[kind] is not None), "")
        attributes.append((name, value, attribute["source"]))
        place = attribute.end()
