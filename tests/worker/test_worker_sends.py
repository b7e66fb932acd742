"""env.<QUEUE>: what send, sendBatch and metrics hand to the server, and what they refuse."""

from __future__ import annotations

import json

import pytest

from wrangler_py.runtime.worker import frames as f

WORKER = """
    import asyncio, datetime, decimal, enum, json, uuid
    import js
    from js import Object
    from pyodide.ffi import JsException, jsnull, to_js
    from workers import Response, WorkerEntrypoint, env as module_env

    class Color(enum.StrEnum):
        RED = "red"

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            code = await request.text()
            q = self.env.Q
            scope = dict(globals(), q=q, self=self)
            try:
                result = eval(code, scope)
                if hasattr(result, "__await__"):
                    result = await result
            except JsException as error:
                return Response(f"js {error.name}: {error.message}")
            except Exception as error:
                return Response(f"py {type(error).__name__}: {error}")
            return Response(repr(result))
"""
METRICS = (3, 30, 1_700_000_000_000)


def start(worker, **flags):
    return worker(WORKER, bindings={"Q": {"kind": "queue", "queue": "jobs"}}, flags=flags)


def send(w, code):
    """Evaluate `code`; the CALL it makes, answered with METRICS, and what the worker made of the answer."""
    event = w.start_fetch(method="POST", body=code.encode())
    frame = w.next_of(f.CALL, f.RESPONSE)
    if frame[0] == f.RESPONSE:
        w.next(f.DONE, event)
        return None, frame[4].decode()
    assert frame[2:4] == (event, "Q")
    w.send(f.REPLY, frame[1], METRICS)
    return frame[4:], w.finish_fetch(event).text


def stored(w, code):
    """The body and the content type that one `send` stores."""
    call, answer = send(w, code)
    assert call is not None, answer
    method, (messages, delay, batch) = call
    assert (method, delay, batch, len(messages)) == ("send", None, False, 1)
    return messages[0][0], messages[0][1]


@pytest.fixture
def w(worker):
    return start(worker)


# Each was run in real Pyodide with the real SDK: `JSON.stringify(python_to_rpc(value))`.
@pytest.mark.parametrize(
    ("value", "body"),
    [
        ("{'a': 1, 'b': [True, None, 'x']}", '{"a":1,"b":[true,null,"x"]}'),
        ("None", "null"),
        ("'é\\u2028'", '"é\u2028"'),
        ("'a\\ud800b'", '"a\\ud800b"'),
        ("'\\ud83d\\ude00'", '"😀"'),
        ("'\\x00\\x1f\\x7f\"\\\\'", '"\\u0000\\u001f\x7f\\"\\\\"'),
        ("1.0", "1"),
        ("-0.0", "0"),
        ("0.1 + 0.2", "0.30000000000000004"),
        ("[1e21, 1e20, 1e-7, 0.00001, 1.5e300, 5e-324]", "[1e+21,100000000000000000000,1e-7,0.00001,1.5e+300,5e-324]"),
        ("[1e16, 123456.75, 1e15]", "[10000000000000000,123456.75,1000000000000000]"),
        ("float('nan')", "null"),
        ("float('inf')", "null"),
        ("2**53 - 2", "9007199254740990"),
        ("datetime.datetime(2024, 1, 1, 1, 2, 3, 456789)", '"2024-01-01T01:02:03.456Z"'),
        (
            "datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))",
            '"2023-12-31T23:00:00.000Z"',
        ),
        ("b'ab'", '{"0":97,"1":98}'),
        ("{'x': b'ab'}", '{"x":{"0":97,"1":98}}'),
        ("{1, 2}", "{}"),
        ("{'s': {1, 2}}", '{"s":{}}'),
        ("{1: 2, 'b': 3, 'a': None}", '{"1":2,"b":3,"a":null}'),
        ("{'b': 1, '2': 2, '1': 3}", '{"1":3,"2":2,"b":1}'),
        ("{None: 1, True: 2, 1.5: 3}", '{"undefined":1,"true":2,"1.5":3}'),
        ("ValueError('x')", "{}"),
        ("{'a': print, 'b': [print]}", '{"b":[null]}'),
        ("[1, [2, [3]]]", "[1,[2,[3]]]"),
        ("range(3)", "[0,1,2]"),
        ("Color.RED", '"red"'),
        ("jsnull", "null"),
        ("js.Date.new(0)", '"1970-01-01T00:00:00.000Z"'),
        ("to_js({'a': [1]}, dict_converter=Object.fromEntries)", '{"a":[1]}'),
        ("js.Map.new(to_js([['a', 1]]))", "{}"),
    ],
)
def test_json_bodies(w, value, body):
    assert stored(w, f"q.send({value})") == (body.encode(), "json")


@pytest.mark.parametrize(
    "value", ["decimal.Decimal('1.5')", "uuid.UUID(int=5)", "{'a': object()}", "datetime.date(2024, 1, 1)"]
)
def test_what_has_no_json_form_is_stored_empty_as_on_cloudflare_and_said(w, value):
    assert stored(w, f"q.send({value})")[0] in (b"{}", b'{"a":{}}')
    assert "has no JSON form; Cloudflare stores {} for it" in w.lines(level="warn")[0]


# Raised by the call itself, before anything is awaited: the SDK's own.
@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("(1, 2)", "py TypeError: <class 'tuple'> cannot be sent over RPC."),
        ("{'a': (1, 2)}", "py TypeError: <class 'tuple'> cannot be sent over RPC."),
        ("[[(1,)]]", "py TypeError: <class 'tuple'> cannot be sent over RPC."),
        ("bytearray(b'x')", "py TypeError: <class 'bytearray'> cannot be sent over RPC."),
        ("{'a': bytearray(b'x')}", "py TypeError: <class 'bytearray'> cannot be sent over RPC."),
        ("asyncio.get_running_loop().create_future()", "py TypeError: Awaitable <class "),
        ("js.RegExp.new('a')", "py TypeError: RegExp cannot be sent over RPC."),
        ("{(1, 2): 3}", "py ConversionError: Cannot use (1, 2) as a key for a Javascript Map"),
    ],
)
@pytest.mark.parametrize("call", ["q.send({}).close()", "q.sendBatch([{{'body': {}}}]).close()"])
def test_bodies_that_rpc_cannot_carry(w, value, error, call):
    call, answer = send(w, call.format(value))
    assert call is None
    assert answer.startswith(error)


def test_a_coroutine_cannot_be_sent(w):
    _, answer = send(w, "q.send(self.fetch(None))")
    assert answer == "py TypeError: Awaitable <class 'coroutine'> cannot be sent over RPC."


def test_a_structure_that_contains_itself(w):
    _, answer = send(w, "(lambda a: (a.append(a), q.send(a))[1])([])")
    assert answer.startswith("py RecursionError")
    _, answer = send(w, "(lambda o: (setattr(o, 'me', o), q.send(o))[1])(Object.new())")
    assert answer == (
        "js TypeError: Converting circular structure to JSON\n    --> starting at object with constructor 'Object'\n"
        "    --- property 'me' closes the circle"
    )


# Raised when the result is awaited: the binding's, with workerd's texts.
@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("q.send()", "Failed to execute 'send' on 'WorkerQueue': parameter 1 is not of type 'JsValue'."),
        ("q.send(2**60)", "Do not know how to serialize a BigInt"),
        ("q.send({'a': [2**60]})", "Do not know how to serialize a BigInt"),
        ("q.send(print)", "Message body cannot be undefined"),
        ("q.send(1, 5)", "Failed to execute 'send' on 'WorkerQueue': parameter 2 is not of type 'SendOptions'."),
        ("q.send(1, contentType='xml')", "Unsupported queue message content type: xml"),
        ("q.send(1, contentType='XmL')", "Unsupported queue message content type: XmL"),
        ("q.send(1, contentType='')", "Unsupported queue message content type: "),
        ("q.send(1, contentType=None)", "Unsupported queue message content type: null"),
        ("q.send(1, contentType=5)", "Unsupported queue message content type: 5"),
        ("q.send(5, contentType='text')", 'Content Type "text" requires a value of type string, but received: number'),
        (
            "q.send(None, contentType='text')",
            'Content Type "text" requires a value of type string, but received: object',
        ),
        (
            "q.send(True, contentType='text')",
            'Content Type "text" requires a value of type string, but received: boolean',
        ),
        (
            "q.send(2**60, contentType='text')",
            'Content Type "text" requires a value of type string, but received: bigint',
        ),
        (
            "q.send(print, contentType='text')",
            'Content Type "text" requires a value of type string, but received: function',
        ),
        (
            "q.send('a', contentType='bytes')",
            'Content Type "bytes" requires a value of type ArrayBufferView, but received: string',
        ),
        (
            "q.send(js.ArrayBuffer.new(1), contentType='bytes')",
            'Content Type "bytes" requires a value of type ArrayBufferView, but received: object',
        ),
        (
            "q.send(1, delaySeconds=2**31)",
            "Value out of range. Must be between -2147483648 and 2147483647 (inclusive).",
        ),
        ("q.sendBatch()", "Failed to execute 'sendBatch' on 'WorkerQueue': parameter 1 is not of type 'Sequence'."),
        ("q.sendBatch(5)", "Failed to execute 'sendBatch' on 'WorkerQueue': parameter 1 is not of type 'Sequence'."),
        ("q.sendBatch('ab')", "Failed to execute 'sendBatch' on 'WorkerQueue': parameter 1 is not of type 'Sequence'."),
        ("q.sendBatch({})", "Failed to execute 'sendBatch' on 'WorkerQueue': parameter 1 is not of type 'Sequence'."),
        ("q.sendBatch([])", "sendBatch() requires at least one message"),
        ("q.sendBatch(['a'])", "Incorrect type: the provided value is not of type 'MessageSendRequest'."),
        ("q.sendBatch([{}])", "Message body cannot be undefined"),
        ("q.sendBatch([{'body': 1}, {}])", "Message body cannot be undefined"),
        ("q.sendBatch([{'body': '1', 'contentType': 'TEXT'}])", "Unsupported queue message content type: TEXT"),
        ("q.sendBatch([{'body': 1, 'contentType': None}])", "Unsupported queue message content type: null"),
        (
            "q.sendBatch([{'body': 1, 'contentType': 'text'}])",
            'Content Type "text" requires a value of type string, but received: number',
        ),
        (
            "q.sendBatch([{'body': 1}], 5)",
            "Failed to execute 'sendBatch' on 'WorkerQueue': parameter 2 is not of type 'SendBatchOptions'.",
        ),
    ],
)
def test_what_the_binding_refuses(w, code, error):
    call, answer = send(w, code)
    assert call is None
    assert answer == f"js TypeError: {error}"


@pytest.mark.parametrize(
    ("options", "delay"),
    [
        ("", None),
        (", delaySeconds=7", 7),
        (", delaySeconds=0", 0),
        (", delaySeconds=None", 0),
        (", delaySeconds=1.5", 1),
        (", delaySeconds='7.9'", 7),
        (", delaySeconds='abc'", 0),
        (", delaySeconds=True", 1),
        (", delaySeconds=float('nan')", 0),
        (", delaySeconds=-1", -1),
        (", {'delaySeconds': 7}", 7),
        (", to_js({'delaySeconds': 7}, dict_converter=Object.fromEntries)", 7),
        (", {'other': 7}", None),
        (", None", None),
    ],
)
def test_delays(w, options, delay):
    call, _ = send(w, f"q.send('x'{options})")
    assert call == ("send", ((((b'"x"', "json", delay),)), None, False))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("q.send('é', contentType='text')", ("é".encode(), "text", None)),
        ("q.send('é', contentType='TEXT')", ("é".encode(), "text", None)),
        ("q.send('a\\ud800', contentType='text')", ("a\ufffd".encode(), "text", None)),
        ("q.send({'a': 1}, contentType='json')", (b'{"a":1}', "json", None)),
        ("q.send(b'\\x00\\xff', contentType='bytes')", (b"\x00\xff", "bytes", None)),
        ("q.send(memoryview(b'ab'), contentType='bytes')", (b"ab", "bytes", None)),
        ("q.send(js.Uint16Array.new(to_js([1, 2])), contentType='bytes')", (b"\x01\x00\x02\x00", "bytes", None)),
        ("q.send({'a': 1}, contentType='v8')", (bytes.fromhex("ff0f6f22016149027b01"), "v8", None)),
    ],
)
def test_content_types(w, code, message):
    call, _ = send(w, code)
    assert call == ("send", ((message,), None, False))


def test_before_the_json_flag_bodies_are_v8(worker):
    w = start(worker, queues_json_messages=False)
    assert stored(w, "q.send({'a': 1})") == (bytes.fromhex("ff0f6f22016149027b01"), "v8")
    assert stored(w, "q.send({'a': 1}, contentType='json')") == (b'{"a":1}', "json")


def test_a_batch(w):
    call, answer = send(
        w,
        "q.sendBatch([{'body': {'a': 1}}, {'body': 'x', 'contentType': 'text', 'delaySeconds': 3}, "
        "{'body': None, 'delaySeconds': None}], delaySeconds=4)",
    )
    assert call == (
        "send",
        (((b'{"a":1}', "json", None), (b"x", "text", 3), (b"null", "json", 0)), 4, True),
    )
    assert "backlogCount" in answer


def test_a_batch_of_javascript_objects(w):
    call, _ = send(w, "q.sendBatch(to_js([{'body': {'a': 1}, 'delaySeconds': 2}], dict_converter=Object.fromEntries))")
    assert call == ("send", (((b'{"a":1}', "json", 2),), None, True))


def test_keyword_arguments_alone_are_the_body_as_in_javascript(w):
    assert stored(w, "q.send(body=1)") == (b'{"body":1}', "json")


def test_what_a_send_returns(w):
    _, answer = send(w, "q.send(1)")
    assert answer == (
        "{'metadata': {'metrics': {'backlogCount': 3, 'backlogBytes': 30, "
        "'oldestMessageTimestamp': datetime.datetime(2023, 11, 14, 22, 13, 20)}}}"
    )
    code = "(lambda c: asyncio.ensure_future(c))(q.send(1))"
    assert "backlogCount" in send(w, code)[1]


def test_metrics(w):
    call, answer = send(w, "q.metrics()")
    assert call == ("metrics", ())
    assert answer.startswith("{'backlogCount': 3, 'backlogBytes': 30, 'oldestMessageTimestamp': ")


def test_a_refusal_of_the_queue(w):
    event = w.start_fetch(method="POST", body=b"q.send(1)")
    call = w.next(f.CALL)[1]
    w.send(f.THROW, call, "Error", "Message size out of bounds (10204)")
    assert w.finish_fetch(event).text == "js Error: Message size out of bounds (10204)"


def test_a_view_is_detached_by_send_but_not_by_send_batch(w):
    code = "(lambda v: (q.send(v, contentType='bytes').close(), v.byteLength)[1])(js.Uint8Array.new(to_js([1])))"
    event = w.start_fetch(method="POST", body=code.encode())
    w.next(f.CALL)
    assert w.finish_fetch(event).text == "0"
    code = code.replace("q.send(v, contentType='bytes')", "q.sendBatch([{'body': v, 'contentType': 'bytes'}])")
    event = w.start_fetch(method="POST", body=code.encode())
    assert w.next(f.CALL)[5] == ((((b"\x01", "bytes", None),)), None, True)
    assert w.finish_fetch(event).text == "1"


def test_a_hundred_sends_at_once_leave_together(w):
    event = w.start_fetch(method="POST", body=b"asyncio.gather(*[q.send(i) for i in range(100)])")
    calls = [w.next(f.CALL) for _ in range(100)]
    assert [json.loads(call[5][0][0][0]) for call in calls] == list(range(100))
    w.sock.sendall(b"".join(f.encode(f.REPLY, call[1], METRICS) for call in reversed(calls)))
    assert w.finish_fetch(event).text.count("backlogCount") == 100


def test_the_modules_env_is_the_same_binding(w):
    assert stored(w, "module_env.Q.send(1)") == (b"1", "json")


def test_a_send_in_the_background_belongs_to_its_event(w):
    event = w.start_fetch(
        method="POST", body=b"asyncio.create_task(asyncio.wait([asyncio.ensure_future(q.send(1))])) and None"
    )
    assert w.next(f.CALL)[2] == event
    assert w.finish_fetch(event).text == "None"


def test_a_misspelt_option_is_pointed_at(w):
    assert stored(w, "q.send(1, content_type='text')") == (b"1", "json")
    assert w.lines(level="warn") == [
        "send(): the option content_type is ignored, as on Cloudflare; its name is contentType"
    ]
