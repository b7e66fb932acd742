"""Numbers, URLs, dates and JSON, held to a JavaScript engine where there is one (Node)."""

from __future__ import annotations

import json
import random
import shutil
import struct
import subprocess
from typing import Any

import pytest

from wrangler_py.runtime.worker.jsonbody import encode_plain
from wrangler_py.runtime.worker.shims.js.convert import js_string, to_js
from wrangler_py.runtime.worker.shims.js.core import JsException
from wrangler_py.runtime.worker.shims.js.dates import parse_date
from wrangler_py.runtime.worker.shims.js.jsjson import stringify
from wrangler_py.runtime.worker.shims.js.numbers import number_text, to_number
from wrangler_py.runtime.worker.shims.js.url import URL, URLSearchParams

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="no Node here, whose JavaScript is the other side")


def javascript(expression: str, given: Any) -> Any:
    """`expression` evaluated by Node, with `given` in scope; both as JSON."""
    script = f"const given = JSON.parse(require('fs').readFileSync(0)); console.log(JSON.stringify({expression}))"
    done = subprocess.run(
        [str(NODE), "-e", script],
        input=json.dumps(given).encode(),
        capture_output=True,
        env={"TZ": "UTC"},
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


def test_how_numbers_are_written():
    chance = random.Random(1)
    floats = [struct.unpack("<d", chance.randbytes(8))[0] for _ in range(5000)]
    floats += [chance.uniform(-1e6, 1e6) for _ in range(2000)] + [10.0**power for power in range(-30, 30)]
    floats += [chance.randint(1, 10**18) * 10.0 ** chance.randint(-40, 40) for _ in range(5000)]
    floats = [value for value in floats if value == value and abs(value) != float("inf")]
    seen = javascript(
        "given.map((hex) => String(Buffer.from(hex, 'hex').readDoubleLE(0)))",
        [struct.pack("<d", value).hex() for value in floats],
    )
    assert [(value, number_text(value)) for value in floats] == list(zip(floats, seen, strict=True))


def test_how_numbers_are_read():
    texts = [
        "5",
        "0x10",
        " 7 ",
        "",
        "x",
        "1e3",
        "-1.5",
        "+2",
        "Infinity",
        "-Infinity",
        "0b11",
        "0o7",
        "1_000",
        ".5",
        "5.",
    ]
    texts += ["1e", "NaN", "\u0663", "--1", "0x", "1e400"]
    seen = javascript("given.map((text) => String(Number(text)))", texts)
    assert {text: js_string(to_number(text)) for text in texts} == dict(zip(texts, seen, strict=True))


URLS = """http://a | http://a/ | http://a:80/x | https://A.B/c d | http://a/../b/./c | http://a/%7e%zz | http://u:p@h:8080/p?q#f
http://a?b | http://a#b | http://a/b?c#d?e | http:a | http:/a | http:///a | HTTP://EXAMPLE.com/%41 | http://[::1]:80/ | http://[::1
http://a b/ | http://a:99999/ | http://a:x/ | //a | /x | x | ftp://a:21/ | file:///a/b | mailto:a@b | data:text/plain,hi
javascript:1 | http://é.com/é?é#é | http://a/\\b\\c | http://a/'"<>`{}^ | http://a/?'"<>`{}^ | http://a/#'"<>`{}^ | http://%41.com/
http://a//b//c | http://a/b/.. | http://a/b/. | http://a/b/../.. | http://1.2.3.4/ | http://a@b@c/ | http://a:/ | wss://a:443/x
http://a/%2e%2e/b | http://ex%20ample.com | http://a/日本 | http://a?x=1&y=2#z | http://user@h | https://h:443 | https://h:0443/"""

RELATIVE = [
    ("x", "http://a/b/c?d#e"),
    ("/x", "http://a/b/c"),
    ("../x", "http://a/b/c"),
    ("?q", "http://a/b/c?d"),
    ("#f", "http://a/b/c?d"),
    ("//h/p", "https://a/b"),
    ("", "http://a/b?c#d"),
    ("http:x", "http://a/b/c"),
    ("./../y", "http://a/b/c/d"),
    ("x:y", "http://a"),
    ("\\x", "http://a/b/c"),
    ("a?b/c", "http://h/1/2"),
]


def href(*parts: str) -> str | None:
    try:
        return URL.new(*parts).href
    except JsException:
        return None


def test_urls():
    urls = [url for line in URLS.splitlines() for url in line.split(" | ")] + [
        "",
        "  http://a/ ",
        "http://a/b\tc\nd",
        "http://a/|?|#|",
    ]
    tried = "(a, b) => { try { return new URL(a, b).href } catch { return null } }"
    assert {url: href(url) for url in urls} == dict(
        zip(urls, javascript(f"given.map((a) => ({tried})(a))", urls), strict=True)
    )
    assert [href(*pair) for pair in RELATIVE] == javascript(f"given.map(([a, b]) => ({tried})(a, b))", RELATIVE)


def test_queries():
    queries = [
        "a=1&b=2",
        "?a=1",
        "a=+%20",
        "a=%zz",
        "=b",
        "a",
        "&&a=1",
        "a=%C3%A9",
        "a=%FF",
        "é=1",
        "a=b=c",
        "a=~!*()'-._",
    ]
    seen = javascript("given.map((q) => [[...new URLSearchParams(q)], new URLSearchParams(q).toString()])", queries)
    mine = [
        [[list(pair) for pair in URLSearchParams.new(q).entries()], URLSearchParams.new(q).toString()] for q in queries
    ]
    assert mine == seen


def test_dates():
    dates = [
        "2024-01-02",
        "2024-01",
        "2024",
        "2024-01-02T03:04:05Z",
        "2024-01-02T03:04:05.678Z",
        "2024-01-02T03:04:05+02:00",
    ]
    dates += ["bad", "", "Tue, 02 Jan 2024 03:04:05 GMT", "2024-13-01", "2024-01-32"]
    seen = javascript("given.map((text) => Date.parse(text))", dates)
    mine = {text: None if (value := parse_date(text)) != value else value for text in dates}
    assert mine == dict(zip(dates, seen, strict=True))


def random_value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(9 if depth < 4 else 6)
    if kind == 0:
        return chance.choice([None, True, False])
    if kind == 1:
        return chance.randint(-(2**53) + 2, 2**53 - 2)
    if kind == 2:
        return chance.choice([0.5, 1.0, 1e21, 1e-7, 1e16, -0.0, chance.uniform(-1, 1), chance.uniform(-1e30, 1e30)])
    if kind in (3, 4, 5):
        return "".join(chance.choice('aé"\\\n\x00\x7f\u2028😀日\t/') for _ in range(chance.randrange(6)))
    if kind == 6:
        return [random_value(chance, depth + 1) for _ in range(chance.randrange(5))]
    keys = ["a", "b", "2", "10", "1", "01", "-1", "é", "", "x y"]
    return {chance.choice(keys): random_value(chance, depth + 1) for _ in range(chance.randrange(6))}


def test_json_is_what_javascript_would_write():
    chance = random.Random(2)
    values = [random_value(chance) for _ in range(2000)]

    def text(value: Any) -> str:
        fast = encode_plain(value)
        slow = stringify(to_js(none_to_null(value)))
        assert fast is None or fast.decode() == slow
        assert slow is not None
        return slow

    texts = [text(value) for value in values]
    assert javascript("given.map((text) => JSON.stringify(JSON.parse(text)))", texts) == texts


def none_to_null(value: Any) -> Any:
    from wrangler_py.runtime.worker.shims.js.core import jsnull

    if value is None:
        return jsnull
    if isinstance(value, list):
        return [none_to_null(item) for item in value]
    return {key: none_to_null(item) for key, item in value.items()} if isinstance(value, dict) else value
