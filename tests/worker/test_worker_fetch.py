"""Requests and responses: what a fetch handler reads, and what goes back to the server."""

from __future__ import annotations

import gzip
import json

import pytest

from wrangler_py.runtime.worker import frames as f

ECHO = """
    import asyncio, js, json
    from js import Object
    from pyodide.ffi import JsException, jsnull, to_js, create_proxy
    from workers import Blob, File, FormData, Headers, Request, Response, WorkerEntrypoint, fetch

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            scope = dict(globals(), request=request, self=self)
            source = request.headers.get("x-code")
            result = eval(source, scope)
            if hasattr(result, "__await__"):
                result = await result
            if isinstance(result, bytes):
                result = result.decode()
            return Response.json(result) if isinstance(result, (str, list, dict, int)) else result
"""


def run(w, code, **options):
    headers = [*options.pop("headers", ()), ("X-Code", code)]
    return w.finish_fetch(w.start_fetch(headers=headers, **options))


@pytest.fixture
def w(worker):
    return worker(ECHO)


def value(w, code, **options):
    answer = run(w, code, **options)
    assert answer.status == 200, answer.result["error"]
    return answer.json


def test_a_request(w):
    code = """[request.method, str(request.method.value), request.url, request.headers.get("Content-Type"),
               request.headers["x-a"], request.headers.get_all("x-a"), request.body_used, request.redirect]"""
    assert value(
        w,
        " ".join(code.split()),
        url="http://localhost/a%20b?c=d",
        method="POST",
        body=b"x",
        headers=[("content-type", "text/plain"), ("X-A", "1"), ("x-a", "2")],
    ) == ["POST", "POST", "http://localhost/a%20b?c=d", "text/plain", "1, 2", ["1, 2"], False, "manual"]


@pytest.mark.parametrize(
    ("code", "body", "seen"),
    [
        ("request.text()", "héllo".encode(), "héllo"),
        ("request.json()", b'{"a":[1,null]}', {"a": [1, None]}),
        ("request.text()", b"\xef\xbb\xbfbom", "bom"),
        ("request.text()", b"bad\xff", "bad\ufffd"),
        ("request.text()", b"", ""),
    ],
)
def test_reading_a_body(w, code, body, seen):
    assert value(w, code, method="POST", body=body) == seen


def test_reading_bytes_and_buffers(w):
    body = b"\x00\xff"
    assert value(w, "request.js_object.arrayBuffer().then(lambda b: list(b.to_bytes()))", method="POST", body=body) == [
        0,
        255,
    ]
    assert value(w, "request.js_object.bytes().then(lambda b: list(b))", method="POST", body=body) == [0, 255]
    assert value(w, "asyncio.ensure_future(request.bytes())", method="POST", body=b"ab") == "ab"
    assert value(w, "request.js_object.blob().then(lambda b: [b.size, b.type])", method="POST", body=body) == [2, ""]


def test_a_body_can_be_read_once(w):
    code = "request.js_object.text().then(lambda t: request.text()).catch(lambda e: str(e))"
    assert value(w, code, method="POST", body=b"x") == "Body already used"
    code = "request.js_object.text().then(lambda t: request.js_object.text()).catch(lambda e: str(e))"
    assert value(w, code, method="POST", body=b"x").startswith("TypeError: Body has already been used.")


def test_a_clone_is_read_by_itself(worker):
    w = worker("""
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                copy = request.clone()
                return Response(await request.text() + await copy.text())
    """)
    assert w.fetch(method="POST", body=b"ab").text == "abab"
    event = w.start_fetch(method="POST", body=b"a", more=True)
    w.send(f.BODY, event, b"b", False)
    assert w.finish_fetch(event).text == "abab"


def test_no_body_is_none(w):
    assert (
        value(w, "[request.js_object.body is jsnull, request.js_object.cf is jsnull, request.cf is None]") == [True] * 3
    )


def test_cf_is_an_object(w):
    assert value(w, "[request.cf.colo, request.cf.tls.v, request.cf.to_py()]", cf={"colo": "AMS", "tls": {"v": 1}}) == [
        "AMS",
        1,
        {"colo": "AMS", "tls": {"v": 1}},
    ]


def test_a_body_that_comes_in_pieces(worker):
    w = worker("""
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                if request.url.endswith("iter"):
                    sizes = [len(chunk.to_bytes()) async for chunk in request.body]
                    return Response.json(sizes)
                if request.url.endswith("none"):
                    return Response("unread")
                return Response(str(len(await request.text())))
    """)
    event = w.start_fetch("http://localhost/text", "POST", b"abc", more=True)
    w.send(f.BODY, event, b"d" * 10, True)
    w.send(f.BODY, event, b"", False)
    assert w.finish_fetch(event).text == "13"
    event = w.start_fetch("http://localhost/iter", "POST", None, more=True)
    for size in (3, 5):
        w.send(f.BODY, event, b"x" * size, True)
    w.send(f.BODY, event, b"y", False)
    assert w.finish_fetch(event).json == [3, 5, 1]
    event = w.start_fetch("http://localhost/none", "POST", None, more=True)
    assert w.finish_fetch(event).text == "unread"
    w.send(f.BODY, event, b"late", False)  # nobody reads it any more
    assert w.fetch("http://localhost/none").text == "unread"


def test_a_client_that_goes_away_while_it_sends(worker):
    w = worker("""
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                return Response(await request.text())
    """)
    event = w.start_fetch("http://localhost/", "POST", b"a", more=True)
    w.send(f.CANCEL, event)
    assert "Network connection lost." in w.finish_fetch(event).result["error"]


# --- responses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status", "headers", "body"),
    [
        ("Response('x')", 200, {"content-type": "text/plain;charset=UTF-8"}, b"x"),
        ("Response('x', status=404)", 404, {"content-type": "text/plain;charset=UTF-8"}, b"x"),
        ("Response(None, status=204)", 204, {}, b""),
        ("Response(b'\\x00\\xff')", 200, {}, b"\x00\xff"),
        ("Response('x', headers={'A': 'b', 'content-type': 't/x'})", 200, {"a": "b", "content-type": "t/x"}, b"x"),
        ("Response('x', headers=[('A', 'b')])", 200, {"a": "b", "content-type": "text/plain;charset=UTF-8"}, b"x"),
        ("Response.json({'a': 1})", 200, {"content-type": "application/json"}, b'{"a": 1}'),
        ("Response.json([1], status=201)", 201, {"content-type": "application/json"}, b"[1]"),
        ("Response.json({}, headers={'content-type': 'a/b'})", 200, {"content-type": "a/b"}, b"{}"),
        ("Response.from_json(None)", 200, {"content-type": "application/json"}, b"null"),
        ("Response.redirect('http://a/b c')", 302, {"location": "http://a/b%20c"}, b""),
        ("Response.redirect('http://a/', 308)", 308, {"location": "http://a/"}, b""),
        ("js.Response.new('x', status=201)", 201, {"content-type": "text/plain;charset=UTF-8"}, b"x"),
        ("js.Response.json(to_js({'a': 1.0}, dict_converter=Object.fromEntries))", 200, {"content-type": "application/json"}, b'{"a":1}'),
        ("js.Response.new(js.URLSearchParams.new('a=1'))", 200,
         {"content-type": "application/x-www-form-urlencoded;charset=UTF-8"}, b"a=1"),
        ("js.Response.new(js.Blob.new(to_js(['a', 'b']), type='t/X'))", 200, {"content-type": "t/x"}, b"ab"),
        ("js.Response.new(to_js(b'ab').buffer)", 200, {}, b"ab"),
        ("Response(js.ReadableStream.new(start=lambda c: (c.enqueue(to_js(b'a')), c.enqueue(to_js(b'b')), c.close())))", 200, {}, b"ab"),
        ("Response('x').replace_body('y')", 200, {"content-type": "text/plain;charset=UTF-8"}, b"y"),
        ("Response('x').clone().js_response", 200, {"content-type": "text/plain;charset=UTF-8"}, b"x"),
    ],
)  # fmt: skip
def test_responses(w, code, status, headers, body):
    answer = run(w, code)
    assert answer.result["outcome"] == "ok", answer.result["error"]
    assert (answer.status, {name.lower(): text for name, text in answer.headers}, answer.body) == (
        status,
        headers,
        body,
    )


def test_cookies_stay_apart(w):
    answer = run(w, "Response('x', headers=[('Set-Cookie', 'a=1'), ('set-cookie', 'b=2')])")
    assert [text for name, text in answer.headers if name.lower() == "set-cookie"] == ["a=1", "b=2"]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (
            "Response('x', status=99)",
            "RangeError: Responses may only be constructed with status codes in the range 200 to 599",
        ),
        (
            "Response('x', status=204)",
            "TypeError: Response with null body status (101, 204, 205, or 304) cannot have a body.",
        ),
        ("Response.redirect('x')", "TypeError: Unable to parse URL: x"),
        ("Response.redirect('http://a/', 200)", "ValueError: 200 is not a redirect status code."),
        ("Response(5)", "TypeError: Unsupported type in Response: int"),
        ("Response('x', headers={'a b': 'c'})", "TypeError: Invalid header name."),
        ("Request('x')", "TypeError: Invalid URL: x"),
        ("Request('http://a/', body='x')", "TypeError: Request with a GET or HEAD method cannot have a body."),
        ("Request('http://a/', method='FOO BAR')", "TypeError: Invalid HTTP method string: FOO BAR"),
        ("Request('http://a/', redirect='error')", "TypeError: Invalid redirect value"),
        (
            "js.Headers.new([['a']])",
            "To initialize a Headers object from a sequence, each inner sequence must have exactly two",
        ),
        ("js.Headers.new('x')", "Failed to construct 'Headers': constructor parameter 1 is not of type"),
        ("js.URL.new('bad')", "TypeError: Invalid URL string."),
        ("js.Blob.new('abc')", "Failed to construct 'Blob': constructor parameter 1 is not of type 'Array'."),
        ("js.Response('x')", "TypeError: Class constructor Response cannot be invoked without 'new'"),
        ("js.atob('!')", "InvalidCharacterError: atob() called with invalid base64-encoded data."),
        ("js.btoa('日')", "InvalidCharacterError: btoa() can only operate on characters in the Latin1"),
    ],
)
def test_what_is_refused(w, code, error):
    assert error in run(w, code).result["error"]


def test_an_answer_that_is_streamed(worker):
    w = worker("""
        import asyncio
        from js import ReadableStream, TransformStream
        from pyodide.ffi import to_js
        from workers import Response, WorkerEntrypoint
        gate = asyncio.Event()
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                if request.url.endswith("open"):
                    gate.set()
                    return Response("opened")
                stream = TransformStream.new()
                writer = stream.writable.getWriter()
                async def write():
                    await writer.write(to_js(b"first"))
                    await gate.wait()
                    await writer.write(to_js(b"second"))
                    await writer.close()
                asyncio.create_task(write())
                return Response(stream.readable, headers={"content-type": "text/event-stream"})
    """)
    event = w.start_fetch()
    response = w.next(f.RESPONSE, event)
    assert (response[2], response[4], response[5]) == (200, b"", True)
    assert w.next(f.CHUNK, event)[2:] == (b"first", True)
    w.fetch("http://localhost/open")
    assert w.next(f.CHUNK, event)[2:] == (b"second", True)
    assert w.next(f.CHUNK, event)[2:] == (b"", False)
    assert w.next(f.DONE, event)[2]["outcome"] == "ok"


def test_a_stream_that_fails_midway(worker):
    w = worker("""
        from js import ReadableStream
        from pyodide.ffi import to_js
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                pieces = iter([b"a", b"b"])
                async def pull(controller):
                    controller.enqueue(to_js(next(pieces, None) or 1 / 0))
                return Response(ReadableStream.new(pull=pull))
    """)
    answer = w.fetch()
    assert (answer.status, answer.body) == (200, b"ab")
    assert answer.result == {"outcome": "exception", "error": "ZeroDivisionError: division by zero"}


def test_a_stream_of_text_is_no_body(w):
    answer = run(w, "Response(js.ReadableStream.new(start=lambda c: (c.enqueue('x'), c.close())))")
    assert answer.result["error"] == "TypeError: This ReadableStream did not return bytes."


def test_a_client_that_goes_away_ends_the_stream(worker):
    w = worker("""
        import asyncio
        from js import ReadableStream
        from pyodide.ffi import to_js
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                async def pull(controller):
                    await asyncio.sleep(0.001)
                    controller.enqueue(to_js(b"x"))
                return Response(ReadableStream.new(pull=pull, cancel=lambda reason: print("cancelled")))
    """)
    event = w.start_fetch()
    w.next(f.CHUNK, event)
    w.send(f.CANCEL, event)
    assert w.next(f.DONE, event)[2]["outcome"] == "ok"
    w.next(f.CHUNK, w.start_fetch())  # a moment later
    assert "cancelled" in w.lines(event)


def test_a_slow_server_holds_a_stream_back(worker):
    w = worker("""
        from js import ReadableStream
        from pyodide.ffi import to_js
        from workers import Response, WorkerEntrypoint
        produced = 0
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                async def pull(controller):
                    global produced
                    produced += 1
                    if produced > 2000:
                        controller.close()
                    else:
                        controller.enqueue(to_js(bytes(64 * 1024)))
                return Response(ReadableStream.new(pull=pull))
            async def queue(self, batch, env, ctx):
                print(produced)
    """)
    event = w.start_fetch()
    w.next(f.RESPONSE, event)
    queue = w.start_queue("how far?")
    total, more = 0, True
    while more:
        _, _, chunk, more = w.next(f.CHUNK, event)
        total += len(chunk)
    assert total == 2000 * 64 * 1024
    w.next(f.DONE, queue)
    assert int(w.lines(queue)[0]) < 200  # of 2,000: the rest waited until this test read


@pytest.mark.parametrize(
    "body", ["'x' * 1000", "js.ReadableStream.new(start=lambda c: (c.enqueue(to_js(b'x' * 1000)), c.close()))"]
)
def test_gzip_is_applied_as_the_header_says(w, body):
    answer = run(w, f"js.Response.new({body}, headers=js.Headers.new([('content-encoding', 'gzip')]))")
    assert gzip.decompress(answer.body) == b"x" * 1000
    manual = (
        "js.Response.new(to_js(b'raw'), headers=js.Headers.new([('content-encoding', 'gzip')]), encodeBody='manual')"
    )
    assert run(w, manual).body == b"raw"


# --- forms ------------------------------------------------------------------------------------------------------------

FORM = (
    b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nhello\r\n'
    b'--x\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\nContent-Type: text/x\r\n\r\n\x00\xff\r\n--x--\r\n'
)


def test_a_multipart_form(worker):
    w = worker("""
        from workers import File, Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                form = await request.form_data()
                file = form["f"]
                assert isinstance(file, File)
                return Response.json([form["a"], "a" in form, list(form.keys()), file.name, file.content_type,
                                      list(await file.bytes()), form.get_all("a")])
    """)
    answer = w.fetch(method="POST", body=FORM, headers=[("content-type", "multipart/form-data; boundary=x")])
    assert answer.json == ["hello", True, ["a", "f"], "n.txt", "text/x", [0, 255], ["hello"]]


@pytest.mark.parametrize(
    ("content_type", "body", "error"),
    [
        ("text/plain", b"x", "TypeError: Unrecognized Content-Type header value."),
        ("multipart/form-data", b"x", "TypeError: No boundary string in Content-Type header."),
        (
            "multipart/form-data; boundary=x",
            b"bad",
            "TypeError: No initial boundary string (or you have a truncated message).",
        ),
    ],
)
def test_forms_that_are_none(worker, content_type, body, error):
    w = worker("""
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                return Response.json(list((await request.form_data()).items()))
    """)
    assert error in w.fetch(method="POST", body=body, headers=[("content-type", content_type)]).result["error"]
    answer = w.fetch(
        method="POST", body=b"a=1&a=+%C3%A9", headers=[("content-type", "application/x-www-form-urlencoded")]
    )
    assert answer.json == [["a", "1"], ["a", " é"]]


def test_a_form_that_is_sent(w):
    code = "(lambda d: (d.append('a', 'b'), d.append('f', Blob('z', content_type='t/x'), 'n.txt'), Response(d))[2])(FormData())"
    answer = run(w, code)
    content_type = answer.header("content-type")
    boundary = content_type.partition("boundary=")[2]
    assert answer.text == (
        f'--{boundary}\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--{boundary}\r\n'
        f'Content-Disposition: form-data; name="f"; filename="n.txt"\r\nContent-Type: t/x\r\n\r\nz\r\n--{boundary}--'
    )


def test_the_body_of_a_request_that_was_built(w):
    code = "Request('http://a/', method='POST', body='x', headers={'a': 'b'}).js_object.text()"
    assert value(w, code) == "x"
    code = "(lambda r: [r.url, str(r.method.value), r.headers['content-type'], r.headers.get('nope')])(Request('http://a', method='post', body='x'))"
    assert value(w, code) == ["http://a/", "POST", "text/plain;charset=UTF-8", None]


def test_json_of_large_numbers(w):
    assert json.loads(run(w, "Response.json({'n': 2**70})").body) == {"n": 2**70}


def test_a_response_that_is_kept_can_be_returned_once(worker):
    w = worker("""
        from workers import Response, WorkerEntrypoint
        kept = Response("x")
        empty = Response(None, status=204)
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                return empty if request.url.endswith("empty") else kept
    """)
    assert w.fetch().text == "x"
    assert "Body has already been used." in w.fetch().result["error"]
    assert [w.fetch("http://localhost/empty").status for _ in range(2)] == [204, 204]
