"""`js`, `pyodide.ffi`: values on both sides of the boundary, held to what real Pyodide does (golden/README.md)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

GOLDEN = json.loads((Path(__file__).parent / "golden/pyodide.json").read_text())["probes"]

PROBE = """
    import js, json
    from datetime import datetime
    from pyodide.ffi import *
    from workers import Response, WorkerEntrypoint

    def scope():
        names = dict(globals())
        names["o"] = js.JSON.parse('{"a":1,"b":{"c":2}}')
        names["n"] = js.JSON.parse('{"x":null,"y":[null]}')
        names["arr"] = js.Array.of(1, 2, 3)
        names["m"] = js.Map.new(to_js([["a", 1]]))
        names["st"] = js.Set.new(to_js([1, 2]))
        names["u"] = js.Uint8Array.new([1, 2, 3])
        names["e"] = js.TypeError.new("bad")
        return names

    def describe(code):
        try:
            result = eval(code, scope())
        except BaseException as error:
            name = "JsException:" + error.name if isinstance(error, JsException) else type(error).__name__
            return {"raises": name, "text": str(error)}
        return {"type": type(result).__name__, "repr": repr(result)}

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            return Response.json({code: describe(code) for code in json.loads(await request.text())})
"""

#: Where wpy differs on purpose.
DIFFERENT = {
    # Node's V8 (of the recording) leaves out line and column; workerd's tells them, as wpy does.
    "js.JSON.parse('[1')": {
        "raises": "JsException:SyntaxError",
        "text": "SyntaxError: Expected ',' or ']' after array element in JSON at position 2 (line 1 column 3)",
    },
    # The text says why.
    "js.nosuch": {
        "raises": "AttributeError",
        "text": "wpy does not emulate js.nosuch; use `pywrangler dev` for a Worker that needs it, or a Python library "
        "that does the same",
    },
    # Node's and workerd's words for a Python dict as headers, which JavaScript takes for a sequence of its keys.
    "js.Response.new('x', status=404, headers={'a': 'b'}).headers.get('a')": {
        "raises": "JsException:TypeError",
        "text": "TypeError: Incorrect type: the provided value is not of type 'Sequence'.",
    },
    # The kind of double proxy is a type of its own.
    "to_js(print)": {"type": "JsCallableDoubleProxy", "repr": "<built-in function print>"},
}


def normal(result: dict[str, str]) -> dict[str, str]:
    """CPython names a type without its module in errors, Pyodide's C type with it."""
    return {key: text.replace("'pyodide.ffi.JsProxy'", "'JsProxy'") for key, text in result.items()}


def test_as_in_pyodide(worker):
    w = worker(PROBE)
    seen = w.fetch(method="POST", body=json.dumps(list(GOLDEN)).encode()).json
    assert len(GOLDEN) > 290
    expected = {code: normal(DIFFERENT.get(code, result)) for code, result in GOLDEN.items()}
    assert {code: result for code, result in seen.items() if result != expected[code]} == {}


def check(worker, code, **spec):
    w = worker(
        f"""
        import asyncio, datetime, js
        from js import Object
        from pyodide.ffi import *
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                result = {code}
                return Response(repr(await result if hasattr(result, "__await__") else result))
        """,
        **spec,
    )
    answer = w.fetch()
    assert answer.status == 200, answer.result["error"]
    return answer.text


@pytest.mark.parametrize(
    ("date", "flags", "code", "seen"),
    [
        (
            "2026-04-01",
            {},
            "[to_js({'a': 1})['a'], to_js({'a': 1}).a, js.Object.keys(to_js({'a': 1})).to_py()]",
            "[1, 1, ['a']]",
        ),
        ("2026-04-01", {}, "to_js({'a': 1}).constructor.name in ('LiteralMap', 'Map')", "True"),
        ("2026-04-01", {}, "js.JSON.stringify(to_js({'a': {'b': 1}}))", '\'{"a":{"b":1}}\''),
        ("2026-10-01", {}, "[to_js({'a': 1}).constructor.name, to_js({'a': 1}).a]", "['Object', 1]"),
        ("2026-04-01", {"python_workers_314": True}, "to_js({'a': 1}).constructor.name", "'Object'"),
        ("2026-04-01", {}, "__import__('pyodide').__version__", "'0.28.2'"),
        ("2026-10-01", {}, "__import__('pyodide').__version__", "'314.0.7'"),
    ],
)
def test_what_depends_on_the_version_of_pyodide(worker, date, flags, code, seen):
    assert check(worker, code, compatibility_date=date, flags=flags) == seen


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        ("[js.setTimeout.name, js.fetch.typeof, js.console.log.name]", "['setTimeout', 'function', 'log']"),
        ("js.globalThis is js and js.self is js", "True"),
        ("js.navigator.userAgent", "'Cloudflare-Workers'"),
        ("len(js.crypto.randomUUID())", "36"),
        ("js.crypto.getRandomValues(js.Uint8Array.new(4)).length", "4"),
        (
            "js.crypto.subtle.digest('SHA-256', to_js(b'abc')).then(lambda b: b.to_bytes().hex()[:16])",
            "'ba7816bf8f01cfea'",
        ),
        ("js.AbortSignal.abort().reason.name", "'AbortError'"),
        ("js.URL.new('http://A.com:80/%7Efoo/../b?q=é#h').href", "'http://a.com/b?q=%C3%A9#h'"),
        ("js.URL.new('x', 'http://a/b/c').href", "'http://a/b/x'"),
        ("[js.URL.new('http://u:p@a:8/x?y#z').origin, js.URL.new('http://a:80').port]", "['http://a:8', '']"),
        ("js.URL.canParse('x')", "False"),
        (
            "js.URLSearchParams.new(to_js({'a': '1 2', 'b': 'é&'}, dict_converter=Object.fromEntries)).toString()",
            "'a=1+2&b=%C3%A9%26'",
        ),
        ("js.URLSearchParams.new('a=%zz&c=+x').get('c')", "' x'"),
        (
            "(lambda u: (u.searchParams.set('a', '2'), u.href)[1])(js.URL.new('http://h/?a=1&b=2'))",
            "'http://h/?a=2&b=2'",
        ),
        ("js.Blob.new(to_js(['abc'])).slice(1, -1, 'x/y').text()", "'b'"),
        ("js.File.new(to_js(['a']), 'n', type='x', lastModified=5).lastModified", "5"),
        ("js.TextDecoder.new('latin1').encoding", "'windows-1252'"),
        ("js.TextDecoder.new().decode(js.Uint8Array.new([239, 187, 191, 65]))", "'A'"),
        ("js.structuredClone(js.Map.new(to_js([['a', js.Date.new(5)]]))).get('a').getTime()", "5"),
        ("js.scheduler.wait(1)", "None"),
        ("js.Promise.all([js.Promise.resolve(1), 2]).then(lambda values: list(values))", "[1, 2]"),
        ("js.Promise.race([js.Promise.resolve(1)])", "1"),
        ("js.Promise.allSettled([1]).then(lambda r: r[0].status)", "'fulfilled'"),
        ("(lambda r: (r.resolve(7), r.promise)[1])(js.Promise.withResolvers())", "7"),
        ("js.Headers.new([('Set-Cookie', 'a'), ('set-cookie', 'b')]).getSetCookie().to_py()", "['a', 'b']"),
        ("js.Function.name", "'Function'"),
        ("js.fetch.call.__self__ is js.fetch", "True"),
        ("js.parseInt.bind(None, 'ff')(16)", "255"),
        ("js.Date.new(0).getTimezoneOffset()", "0"),
        (
            "(lambda e: (isinstance(e, JsException), e.name, e.cause))(js.RangeError.new('x', cause=5))",
            "(True, 'RangeError', 5)",
        ),
        ("run_sync(asyncio.sleep(0, 5))", "5"),
        ("[can_run_sync(), IN_PYODIDE]", "[True, True]"),
    ],
)
def test_the_global_scope(worker, code, seen):
    assert check(worker, code) == seen


def test_what_the_sdk_makes_of_values_from_rpc(worker):
    w = worker("""
        import datetime, js
        from pyodide.ffi import to_js
        from workers import Blob, FormData, Request, Response, WorkerEntrypoint, python_from_rpc, python_to_rpc
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                when = datetime.datetime(2024, 1, 2, 3, 4, 5)
                there = python_to_rpc({"d": when, "n": None, "s": {1}, "e": ValueError("x"), "b": b"ab", "l": [1, {"x": 2}]})
                assert there.constructor.name == "Object"
                assert there.d.constructor.name == "Date" and there.e.constructor.name == "Error"
                back = python_from_rpc(there)
                assert back["d"] == when and back.n is None and back.s == {1} and back.l[1].x == 2
                assert bytes(back.b) == b"ab" and isinstance(back.e, Exception)
                assert isinstance(python_from_rpc(js.Response.new("x")), Response)
                assert isinstance(python_from_rpc(js.Request.new("http://a/")), Request)
                assert isinstance(python_from_rpc(js.Blob.new()), Blob)
                assert isinstance(python_from_rpc(js.FormData.new()), FormData)
                response = Response("x")
                assert python_to_rpc(response) is response.js_object
                def call(): ...
                assert python_to_rpc(call).unwrap() is call
                return Response("fine")
    """)
    answer = w.fetch()
    assert answer.text == "fine", answer.result["error"]
