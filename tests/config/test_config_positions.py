"""The line of every field, in TOML and in JSON with comments, checked against the parsers themselves."""

import datetime
import json
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from wrangler_py.config.jsonc import blank_extras
from wrangler_py.config.positions import FieldPath, dotted, json_positions, toml_positions

TOML = '''
# comment with [brackets] and "quotes
top = 1
a.b . "c d" = """
[not.a.table]
x = 1 """
'lit.eral' = \'\'\'
[[nor.this]]\'\'\'
list = [ # comment ]
  "]", 2, [3,
  4], { k = 5, "l,m" = [6] }, # }
]
date = 1979-05-27 07:32:00
neg = -1_000

[ table . sub ]   # comment
key = '\\'
[table]
other = {}

[[tables]]
x = 1
[[tables]]
x = 2
[tables.inner]
y = 3
[[tables.deep]]
z = 4
[[tables.deep]]
z = 5
'''

TOML_LINES: dict[FieldPath, int] = {
    ("top",): 3,
    ("a", "b", "c d"): 4,
    ("lit.eral",): 7,
    ("list",): 9,
    ("list", 0): 10,
    ("list", 1): 10,
    ("list", 2, 0): 10,
    ("list", 2, 1): 11,
    ("list", 3, "k"): 11,
    ("list", 3, "l,m", 0): 11,
    ("date",): 13,
    ("neg",): 14,
    ("table", "sub"): 16,
    ("table", "sub", "key"): 17,
    ("table", "other"): 19,
    ("tables",): 21,
    ("tables", 0): 21,
    ("tables", 0, "x"): 22,
    ("tables", 1, "x"): 24,
    ("tables", 1, "inner", "y"): 26,
    ("tables", 1, "deep", 0, "z"): 28,
    ("tables", 1, "deep", 1): 29,
    ("tables", 1, "deep", 1, "z"): 30,
    # What is not there is shown at the nearest table around it.
    ("tables", 0, "missing"): 21,
    ("table", "sub", "missing", "deeper"): 16,
}


def line_of(text: str, offset: int | None) -> int | None:
    return None if offset is None else text.count("\n", 0, offset) + 1


@pytest.mark.parametrize(("path", "line"), TOML_LINES.items(), ids=[dotted(p) for p in TOML_LINES])
def test_lines_in_toml(path: FieldPath, line: int):
    assert line_of(TOML, toml_positions(TOML).find(path)) == line


JSONC = """// {
{
  "a": 1, /* "b": 2,
  */ "b": [
    "]", {"c": "}"},
    [[], 4],
  ],
  "d\\u0065": {"f": null}, // trailing
}
"""

JSON_LINES: dict[FieldPath, int | None] = {
    (): None,
    ("a",): 3,
    ("b",): 4,
    ("b", 0): 5,
    ("b", 1): 5,
    ("b", 1, "c"): 5,
    ("b", 2): 6,
    ("b", 2, 0): 6,
    ("b", 2, 1): 6,
    ("de",): 8,
    ("de", "f"): 8,
    ("b", 1, "missing"): 5,
    ("missing",): None,
}


@pytest.mark.parametrize(("path", "line"), JSON_LINES.items(), ids=[dotted(p) or "-" for p in JSON_LINES])
def test_lines_in_jsonc(path: FieldPath, line: int | None):
    text = blank_extras(JSONC)
    assert len(text) == len(JSONC)
    assert line_of(JSONC, json_positions(text).find(path)) == line


def every_path(value: Any, path: FieldPath = ()) -> list[FieldPath]:
    paths = [path]
    if isinstance(value, dict):
        for key, item in value.items():
            paths += every_path(item, (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            paths += every_path(item, (*path, i))
    return paths


keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
scalars = (
    st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.text(st.characters(exclude_categories=["Cs"]))
)
toml_values = st.recursive(
    scalars | st.dates() | st.times() | st.datetimes(timezones=st.none() | st.just(datetime.UTC)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)
json_values = st.recursive(
    scalars | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@pytest.mark.no_cover
@given(st.dictionaries(keys, toml_values, max_size=4), st.booleans())
def test_every_field_of_any_toml_has_its_own_place(data: dict[str, Any], multiline: bool):
    text = tomli_w.dumps(data, multiline_strings=multiline)
    found = toml_positions(text.replace("\r\n", "\n"))
    paths = set(every_path(data)) - {()}
    assert set(found.offsets) == paths


@settings(max_examples=300, deadline=None)
@pytest.mark.no_cover
@given(st.dictionaries(keys, json_values, max_size=4), st.sampled_from([None, 2]), st.booleans())
def test_every_field_of_any_json_has_its_own_place(data: dict[str, Any], indent: int | None, ascii_only: bool):
    text = blank_extras(json.dumps(data, indent=indent, ensure_ascii=ascii_only))
    found = json_positions(text)
    assert set(found.offsets) == set(every_path(data)) - {()}
    for path, offset in found.offsets.items():
        if isinstance(path[-1], str):
            assert json.JSONDecoder().raw_decode(text, offset)[0] == path[-1]
