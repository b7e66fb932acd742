"""Cutting SQL text into its statements, as SQLite itself would."""

from __future__ import annotations

import re
from collections.abc import Iterator

#: What a semicolon may hide in: strings, quoted names, comments. An open one reaches to the end.
_TOKEN = re.compile(
    r"""
      (?P<quoted> ' (?:[^']|'')* (?:'|\Z) | " (?:[^"]|"")* (?:"|\Z) | ` (?:[^`]|``)* (?:`|\Z) | \[ [^\]]* (?:\]|\Z) )
    | (?P<comment> --[^\n]* | /\* (?:.*?\*/ | .*\Z) )
    | (?P<semicolon> ; )
    | (?P<word> [A-Za-z_\u0080-\U0010ffff] [\w$]* )
    | (?P<other> [^\s] )
    """,
    re.VERBOSE | re.DOTALL,
)


def split_statements(sql: str) -> Iterator[str]:
    """The statements of a text, without the semicolons between them. Comments stay where a statement follows them.

    A trigger is one statement: its own statements end with semicolons too, and it ends with END.
    """
    start = 0
    words: list[str] = []
    depth = 0
    seen = False
    for token in _TOKEN.finditer(sql):
        kind = token.lastgroup
        if kind == "comment":
            continue
        if kind == "semicolon":
            if depth:
                continue
            if seen:
                yield sql[start : token.start()].strip()
            start, words, seen = token.end(), [], False
            continue
        seen = True
        if kind == "word":
            word = token[0].upper()
            if len(words) < 4:
                words.append(word)
            if "TRIGGER" in words and words[0] == "CREATE":
                # BEGIN opens the body; CASE within it has an END of its own.
                depth += (word == "BEGIN" and depth == 0) or (word == "CASE" and depth > 0)
                depth -= word == "END" and depth > 0
    if seen:
        yield sql[start:].strip()


#: What `sqlite3 .dump` puts around its statements.
_BEGIN, _COMMIT = "BEGIN TRANSACTION", "COMMIT"


def without_transaction(statements: list[str]) -> list[str]:
    """The statements without the transaction that is written around them: D1 runs them in one of its own.

    Raises ValueError when there are several (wrangler, `d1 execute --file`).
    """
    begun = statements.count(_BEGIN)
    if not begun:
        return statements
    if begun > 1:
        raise ValueError("it contains several transactions")
    kept = [statement for statement in statements if statement != _BEGIN]
    if _COMMIT in kept:
        kept.remove(_COMMIT)
    return kept


def only_reads(statement: str) -> bool:
    """Whether a statement surely writes nothing."""
    return _first_word(statement) in ("SELECT", "VALUES", "EXPLAIN", "PRAGMA")


def is_explained(statement: str) -> bool:
    """Whether a statement is only explained, not run."""
    return _first_word(statement) == "EXPLAIN"


def _first_word(statement: str) -> str:
    words = (token[0].upper() for token in _TOKEN.finditer(statement) if token.lastgroup == "word")
    return next(words, "")


def is_blank(sql: str) -> bool:
    """Whether there is nothing but white space."""
    return not sql.strip(" \t\r\n")
