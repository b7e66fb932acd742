"""Why Cloudflare refuses an expression, shown to a person: the rule in words, a caret under the part, a likely fix.

Loaded only once something was refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from msgspec import Struct

from wrangler_py.cron.expression import (
    DAY,
    FIELDS,
    HOUR,
    MINUTE,
    MONTH,
    MONTH_NAMES,
    WEEKDAY,
    WEEKDAY_NAMES,
    CronSyntaxError,
    FieldRule,
    parse,
)

#: Puts a text back into the expression, in the place of what was wrong.
_Write = Callable[[str], tuple[str]]

_ALIASES = {
    "@yearly": "0 0 1 JAN *",
    "@annually": "0 0 1 JAN *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * SUN",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_UPPER_ONLY = "L and W are written in upper case"
_WHOLE_FIELD = "L, W and # forms must be the whole field; they cannot be part of a list or range"


# --- the rule, where the grammar alone cannot name it -----------------------------------------------------------------


def unreadable(rule: FieldRule, field: str, part: str, column: int) -> tuple[int, int, str]:
    """Start, end and reason for a `part` of a list that is neither value, range nor step. Columns count in the field."""
    end = column + len(part)
    if not part:
        return (max(column - 1, 0), max(column, 1), "a list has no empty places")
    if "?" in part:
        at = column + part.index("?")
        return (at, at + 1, "? is not part of the dialect")
    if rule in (DAY, WEEKDAY):
        special = _special(rule, part)
        if special is not None:
            return (column, end, special)
    if part.startswith(("-", "+")):
        return (column, column + 1, "numbers have no sign")
    for offset, character in enumerate(part):
        if not (character.isascii() and character.isalnum()) and character not in "*-/":
            return (column + offset, column + offset + 1, f"{_shown(character)} is not part of the dialect")
    if part.endswith(("-", "/")):
        return (end - 1, end, f"a value is missing after {part[-1]}")
    return (column, end, f"write a value ({rule.span}), a range a-b, or a step as in */n, a/n or a-b/n")


def _special(rule: FieldRule, part: str) -> str | None:
    """Why a misplaced or misspelt L, W or # form is refused; None if `part` is not one."""
    if rule is DAY:
        if re.fullmatch(r"L(-\d+)?W?|\d+W", part):
            return _WHOLE_FIELD
        if re.fullmatch(r"L(-\d+)?W?|\d+W", part.upper()):
            return _UPPER_ONLY
        if re.fullmatch(r"W\d+", part):
            return "W follows its day, as in 15W"
        return "# belongs to day of week" if "#" in part else None
    if re.fullmatch(r"(\d+|[A-Za-z]{3})(L|#\d+)|L", part):
        return _WHOLE_FIELD
    if re.fullmatch(r"(\d+|[A-Za-z]{3})l|l", part):
        return _UPPER_ONLY
    if re.fullmatch(r"L\d+", part):
        return "L follows its weekday, as in 6L"
    if re.fullmatch(r"L?W|L?\d*W", part):
        return "W belongs to day of month"
    return "# joins one weekday and 1 to 5, as in MON#2" if "#" in part else None


def unknown_name(rule: FieldRule, text: str) -> str:
    """Why letters are not a value of this field."""
    if rule in (DAY, WEEKDAY):
        if text in ("W", "WL") and rule is DAY:
            return "W follows its day, as in 15W; the last Monday to Friday of the month is LW"
        special = _special(rule, text)
        if special is not None:
            return special
    name = text.upper()
    if name[:3] in rule.names and len(name) > 3:
        return f"names have exactly three letters: {name[:3]}"
    if name[:3] in MONTH_NAMES:
        return f"{text} is a month; months are the fourth field"
    if name[:3] in WEEKDAY_NAMES:
        return f"{text} is a weekday; weekdays are the fifth field"
    if rule.names:
        return f"names are {', '.join(rule.names)}"
    return f"this field takes numbers, {rule.span}" + (", or L, LW, L-n, nW" if rule is DAY else "")


# --- the fix ----------------------------------------------------------------------------------------------------------


class _Fix(Struct, frozen=True):
    note: str
    #: The expression (or, for what one trigger cannot say, the several) that would be accepted.
    texts: tuple[str, ...] = ()


def guess_fix(error: CronSyntaxError) -> str | None:
    """What was probably meant, with the expression to write where one can be given."""
    fix = _fix(error)
    if fix is None:
        return None
    texts = fix.texts
    for _ in FIELDS:  # one more round for every further field at fault
        try:
            for text in texts:
                parse(text)
        except CronSyntaxError as next_error:
            again = _fix(next_error) if len(texts) == 1 else None
            texts = () if again is None else again.texts
        else:
            break
    else:
        texts = ()
    return f"{fix.note}: {'  and  '.join(texts)}" if texts else fix.note


def _fix(error: CronSyntaxError) -> _Fix | None:
    for index, rule in enumerate(FIELDS):
        if rule.name == error.field:
            return _fix_field(error, index)
    return _fix_whole(error)


def _fix_whole(error: CronSyntaxError) -> _Fix | None:
    text = error.expression
    words = text.split()
    plain = " ".join(words)
    if not words:
        return _Fix("every minute is", ("* * * * *",))
    if text.strip(" \t") != text or re.search(r"[^\S \t]", text):
        return _Fix("write the fields with plain spaces between them and nothing around them", (plain,))
    if text.startswith("@"):
        alias = _ALIASES.get(words[0].lower())
        return _Fix(f"{words[0]} is", (alias,)) if alias else _Fix("write the five fields out")
    if len(words) == 6 and re.search(r"\d{4}", words[5]):
        return _Fix("Cloudflare has no year field", (" ".join(words[:5]),))
    if len(words) == 6:
        return _Fix("Cloudflare has no seconds field", (" ".join(words[1:]),))
    if len(words) == 7:
        return _Fix("Cloudflare has no seconds and no year field", (" ".join(words[1:6]),))
    return None


def _fix_field(error: CronSyntaxError, index: int) -> _Fix | None:
    rule = FIELDS[index]
    spans = [match.span() for match in re.finditer(r"[^ \t]+", error.expression)]
    start, end = spans[index]
    field = error.expression[start:end]
    token = error.expression[error.start : error.end]
    before = error.expression[error.start - 1] if error.start > start else ""

    def whole(text: str) -> tuple[str]:
        return (error.expression[:start] + text + error.expression[end:],)

    def part(text: str) -> tuple[str]:
        return (error.expression[: error.start] + text + error.expression[error.end :],)

    if error.rule.startswith("? "):
        return _Fix("* is what ? means elsewhere", whole(field.replace("?", "*")))
    if error.rule == _UPPER_ONLY:
        upper = field.upper() if rule is DAY else re.sub(r"l(?=,|$)", "L", field)
        return _Fix("in upper case", whole(upper))
    if error.rule == _WHOLE_FIELD:
        return _fix_list_of_specials(error, field, whole)
    if "exactly three letters" in error.rule:
        return _Fix("the name is", part(token[:3].upper()))
    if "no empty places" in error.rule:
        rest = ",".join(filter(None, field.split(",")))
        return _Fix("without the empty place", whole(rest)) if rest else None
    if token == "*" and error.rule.startswith("a * stands alone"):
        return _Fix("a * already includes the rest", whole("*"))
    if token.startswith("*-"):
        return _Fix(f"the field begins at {rule.low}", part(f"{rule.low}{token[1:]}"))
    if token == "+":
        return _Fix("without the sign", part(""))
    if token in ("H", "R"):
        return _Fix("Jenkins' H and R are not known here; write the number you want")
    if before == "/":
        return _fix_step(rule, field, token, whole)
    if rule is DAY and token == "WL":
        return _Fix("the last Monday to Friday of the month is", part("LW"))
    if (rule is DAY and re.fullmatch(r"W\d+", token)) or (rule is WEEKDAY and re.fullmatch(r"L\d+", token)):
        return _Fix("the letter comes last", part(token[1:] + token[0]))
    if rule is WEEKDAY and "belongs to day of month" in error.rule:
        day_start, day_end = spans[2]
        if error.expression[day_start:day_end] == "*" and token == field:
            moved = (
                error.expression[:day_start] + token + error.expression[day_end:start] + "*" + error.expression[end:]
            )
            return _Fix("in the third field", (moved,))
        return None
    return _fix_number(rule, field, token, before, whole, part) if token.isdecimal() else None


def _fix_list_of_specials(error: CronSyntaxError, field: str, whole: _Write) -> _Fix | None:
    if last_of_range := re.fullmatch(r"(\d+)-L", field):
        return _Fix("days that a month lacks are skipped anyway", whole(f"{last_of_range[1]}-31"))
    pieces = field.split(",")
    special = [piece for piece in pieces if re.search(r"[LW]$|L-|#", piece)]
    plain = [piece for piece in pieces if piece not in special]
    if len(pieces) == 1 or len(pieces) > 5:
        return None
    fields = ([",".join(plain)] if plain else []) + special
    return _Fix("write one trigger for each", tuple(text for one in fields for text in whole(one)))


def _fix_step(rule: FieldRule, field: str, token: str, whole: _Write) -> _Fix | None:
    match = re.fullmatch(r"(\*|\w+)/" + re.escape(token), field)
    if match is None or token.lstrip("0") != str(rule.high - rule.low + 1):
        return None
    first = match[1]
    if first == "*":
        first = rule.names[0] if rule.names else str(rule.low)
    period = {MINUTE: "hour", HOUR: "day", DAY: "month", MONTH: "year", WEEKDAY: "week"}[rule]
    return _Fix(f"once {'an' if period == 'hour' else 'a'} {period} is", whole(first))


def _fix_number(rule: FieldRule, field: str, token: str, before: str, whole: _Write, part: _Write) -> _Fix | None:
    value = int(token) if len(token) <= 9 else -1
    if rule is WEEKDAY and value == 0 and before != "#":
        # Whoever writes 0 counts from Sunday = 0, so every other digit of the field moves by one as well.
        renamed = re.sub(r"(?<![/#\d])0*([0-7])(?!\d)", lambda match: WEEKDAY_NAMES[int(match[1]) % 7], field)
        return _Fix("Sunday is 1 or SUN", whole(renamed))
    if value == rule.high + 1 and rule in (MINUTE, HOUR):
        if before == "-":
            return _Fix(f"the last {rule.name} is {rule.high}", part(str(rule.high)))
        return _Fix("the first minute is 0" if rule is MINUTE else "midnight is hour 0", part("0"))
    if rule is DAY and value > 31 and token == field:
        return _Fix("the last day of the month is", part("L"))
    if rule is DAY and field == "L-" + token and value == 0:
        return _Fix("the last day of the month is", whole("L"))
    if rule in (DAY, MONTH) and value == 0 and not field.startswith("L"):
        return _Fix("days begin at 1" if rule is DAY else "months begin at 1 (JAN)", part("1"))
    return None


# --- on the screen ----------------------------------------------------------------------------------------------------


def pretty(error: CronSyntaxError) -> str:
    """Several lines: production's message with its code, the expression, a caret line with the rule, and the fix."""
    lines = [f"{_shown(str(error))} [code: {error.code}]", *(f"  {line}" for line in marked(error).split("\n"))]
    if error.fix:
        lines.append(f"  {error.fix}")
    return "\n".join(lines)


def marked(error: CronSyntaxError) -> str:
    """Two lines: the expression, and a caret under the part at fault with the rule."""
    before = _shown(error.expression[: error.start])
    wrong = _shown(error.expression[error.start : error.end])
    where = f"{error.field}: " if error.field else ""
    carets = "^" * max(_width(wrong), 1)
    return f"{_shown(error.expression).rstrip()}\n{' ' * _width(before)}{carets} {where}{error.rule}"


def _shown(text: str) -> str:
    """One visible column or more for every character, so that the caret stands under the right one."""
    return "".join(
        " " if character == "\t" else character if character.isprintable() else _symbol(character) for character in text
    )


def _symbol(character: str) -> str:
    code = ord(character)
    return chr(0x2400 + code) if code < 0x20 else "␣" if character.isspace() else "�"


def _width(text: str) -> int:
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )
