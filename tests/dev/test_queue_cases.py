"""Conformance cases of Queues that need a real Worker, by number, through a real session.

The Worker runs what a test posts to it, with `env` at hand, and remembers what its consumer got.
"""

from __future__ import annotations

import json
import re

import pytest
from counting import wait_until

WORKER = """
import asyncio
import datetime
import time

from workers import Response, WorkerEntrypoint

got = []


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        if request.method == "GET":
            return Response.json(got)
        names = {"env": self.env, "datetime": datetime}
        source = await request.text()
        exec("async def run(env):\\n" + "".join(f"    {line}\\n" for line in source.splitlines()), names)
        try:
            result = await names["run"](self.env)
        except Exception as error:
            return Response(str(error), status=400)
        return Response(repr(result))

    async def queue(self, batch, env, ctx):
        got.extend([type(m.body).__name__, repr(bytes(m.body) if isinstance(m.body, memoryview) else m.body), m.attempts,
                    time.time() - m.timestamp.replace(tzinfo=datetime.UTC).timestamp()] for m in batch.messages)
        how = str(batch.messages[0].body)
        if how.startswith("reject"):
            async def fail():
                raise ValueError("late")
            self.ctx.waitUntil(fail())
        if how.startswith("late retry"):
            async def retry():
                await asyncio.sleep(0.08)
                batch.messages[0].retry()
            self.ctx.waitUntil(retry())
        if how.startswith("long"):
            self.ctx.waitUntil(asyncio.sleep(0.6))
"""
QUEUES = """
[[queues.producers]]
binding = "Q"
queue = "q"
{producer}
[[queues.consumers]]
queue = "q"
max_batch_timeout = 0
max_retries = 1
"""


@pytest.fixture
def start(project):
    def starting(date: str = "2025-05-01", flags: str = "", producer: str = ""):
        config = f'name = "app"\nmain = "src/entry.py"\ncompatibility_date = "{date}"\n'
        config += f'compatibility_flags = ["python_workers"{flags}]\n' + QUEUES.format(producer=producer)
        project.write("wrangler.toml", config)
        project.code(WORKER)
        return project.start("--no-reload")

    return starting


def run(server, source: str):
    reply = server.post("/", body=source)
    return reply.status, reply.text


def got(server, count: int = 1) -> list:
    wait_until(lambda: len(server.get("/").json()) >= count)
    return server.get("/").json()


NOW = "datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)"


@pytest.mark.parametrize(
    ("date", "source", "body"),
    [
        pytest.param("2025-05-01", "await env.Q.send({'a': 1})", ["JsDict", "{'a': 1}"], id="1 json"),
        pytest.param("2024-01-01", f"await env.Q.send({NOW})", ["datetime", None], id="2 a Date as v8"),
        pytest.param("2024-03-18", f"await env.Q.send({NOW})", ["str", "'2026-01-02T03:04:05.000Z'"], id="3 a Date as json"),
        pytest.param("2025-05-01", "await env.Q.send('x', contentType='text')", ["str", "'x'"], id="4 text"),
        pytest.param("2025-05-01", "await env.Q.send(b'\\x01\\x02', contentType='bytes')", ["memoryview", "b'\\x01\\x02'"], id="6 bytes"),
        pytest.param("2025-05-01", "await env.Q.send('x', contentType='TEXT')", ["str", "'x'"], id="9 TEXT to send"),
        pytest.param("2025-05-01", "await env.Q.send(None)", ["NoneType", "None"], id="10 null"),
    ],
)  # fmt: skip
def test_bodies(start, date, source, body):
    server = start(date)
    assert run(server, source)[0] == 200
    kind, text, attempts, _ = got(server)[0]
    assert (kind, attempts) == (body[0], 1)
    assert body[1] in (None, text)


REFUSED = [
    pytest.param(
        "await env.Q.send(5, contentType='text')",
        'Content Type "text" requires a value of type string, but received: number',
        id="5",
    ),
    pytest.param(
        "from pyodide.ffi import to_js\nawait env.Q.send(to_js(b'ab').buffer, contentType='bytes')",
        'Content Type "bytes" requires a value of type ArrayBufferView, but received: object',
        id="7",
    ),
    pytest.param("await env.Q.send(1, contentType='xml')", "Unsupported queue message content type: xml", id="8"),
    pytest.param(
        "await env.Q.sendBatch([{'body': 'x', 'contentType': 'TEXT'}])",
        "Unsupported queue message content type: TEXT",
        id="9 TEXT to sendBatch",
    ),
    # 10, the other half: Python has no word for `undefined`, js.undefined is None and so a legal null.
    pytest.param("await env.Q.sendBatch([])", "sendBatch() requires at least one message", id="11"),
    pytest.param("await env.Q.sendBatch([{'body': 1}, {}])", "Message body cannot be undefined", id="13"),
    # What JavaScript calls a BigInt is a whole number beyond 2**53 in Python.
    pytest.param("await env.Q.send(2**60)", "Do not know how to serialize a BigInt", id="14"),
]


def test_what_the_binding_refuses_and_does_not_store(start):
    server = start()
    for param in REFUSED:
        source, text = param.values
        status, said = run(server, source)
        assert (status, said) == (400, f"TypeError: {text}"), f"case {param.id}"
    for how in ("", ", contentType='v8'"):  # what the SDK cannot carry: a RecursionError on Cloudflare, too
        status, said = run(server, f"a = {{}}\na['own'] = [a]\nawait env.Q.send(a{how})")
        assert (status, said.split(" or ")[0]) == (400, "the body contains itself")
    assert run(server, "return (await env.Q.metrics())['backlogCount']") == (200, "0")
    assert server.get("/").json() == []


def test_12_any_iterable_of_two(start):
    server = start()
    assert run(server, "await env.Q.sendBatch([{'body': n} for n in (1, 2)])")[0] == 200
    assert [row[1] for row in got(server, 2)] == ["1", "2"]
    # workers-runtime-sdk looks at every item before it hands them on, and a Python generator can be looked at once only.
    status, said = run(server, "await env.Q.sendBatch({'body': n} for n in (1, 2))")
    assert (status, said) == (400, "TypeError: sendBatch() requires at least one message")


def test_19_a_delay_of_1_5_is_1_and_null_is_0(start, project):
    server = start()
    server.wpy("queues", "update", "q", "--delivery-delay-secs", "60")
    assert run(server, "await env.Q.send('now', {'delaySeconds': None})")[0] == 200
    assert run(server, "await env.Q.send('soon', delaySeconds=1.5)")[0] == 200
    (_, first, _, waited), (_, second, _, longer) = got(server, 2)
    assert (first, second) == ("'now'", "'soon'")
    assert waited < 1 <= longer < 1.5 + 5


def test_27_delivery_delay_of_a_binding_has_no_effect_and_is_warned_of(start):
    server = start(producer="delivery_delay = 30\n")
    assert server.find('The "delivery_delay" field in "queues.producers\\[0\\]" is deprecated and has no effect')
    assert run(server, "await env.Q.send('x')")[0] == 200
    assert got(server)[0][3] < 20


NO_WAIT = ', "queue_consumer_no_wait_for_wait_until"'


@pytest.mark.parametrize(
    ("flags", "body", "deliveries"),
    [
        pytest.param("", "reject", 2, id="50"),
        pytest.param(NO_WAIT, "reject", 1, id="51"),
        pytest.param("", "late retry", 2, id="52 without the flag"),
        pytest.param(NO_WAIT, "late retry", 1, id="52 with the flag"),
    ],
)
def test_wait_until(start, flags, body, deliveries):
    server = start(flags=flags)
    assert run(server, f"await env.Q.send({body!r})")[0] == 200
    assert [row[2] for row in got(server, deliveries)] == [1, 2][:deliveries]
    assert run(server, "await env.Q.send('last')")[0] == 200
    wait_until(lambda: any(row[1] == "'last'" for row in server.get("/").json()))
    assert sum(1 for row in server.get("/").json() if row[1] == repr(body)) == deliveries


@pytest.mark.parametrize(
    ("flags", "at_least"), [pytest.param("", 600, id="53"), pytest.param(NO_WAIT, 0, id="53 with the flag")]
)
def test_the_result_waits_for_wait_until(start, flags, at_least):
    server = start(flags=flags)
    assert run(server, "await env.Q.send('long')")[0] == 200
    took = int(server.wait_for(r"QUEUE q 1/1 \((\d+)ms\)")[1])
    assert took >= 600 if at_least else took < 500


def test_75_a_worker_without_a_queue_handler(start, project):
    server = start()
    server.stop()
    project.code(WORKER.replace("async def queue(", "async def other("))
    server = project.start("--no-reload")
    assert run(server, "await env.Q.send('x')")[0] == 200
    server.wait_for("Did you remember to export a queue\\(\\) function")
    server.wait_for("Dropped message")


def problems(project, config: str) -> str:
    project.write("wrangler.toml", 'name = "app"\nmain = "src/entry.py"\ncompatibility_date = "2026-03-01"\n' + config)
    project.code(WORKER)
    server = project.server()
    server.launch()
    assert server.wait_exit() == 1
    return server.output


@pytest.mark.parametrize(
    ("config", "text"),
    [
        pytest.param("queues = []\n", 'The field "queues" should be an object but got [].', id="78"),
        pytest.param(
            "[[queues.producers]]\n",
            '"queues.producers[0]" bindings should have a string "binding" field but got {}.',
            id="79",
        ),
        pytest.param(
            "[[queues.consumers]]\nqueue = 22\n",
            f'"queues.consumers[0]" should have a string "queue" field but got {json.dumps({"queue": 22}, separators=(",", ":"))}.',
            id="80",
        ),
        pytest.param(
            '[[queues.consumers]]\nqueue = "q"\ntype = "http_pull"\n',
            'Only "worker" consumers can be configured in your Wrangler configuration.',
            id="81",
        ),
        pytest.param(
            '[[queues.consumers]]\nqueue = "q"\nmax_batch_timeout = 61\nmax_batch_size = 101\nmax_retries = 101\n'
            "retry_delay = 86401\n",
            "queues.consumers[0].retry_delay",
            id="83",
        ),
        pytest.param(
            '[[queues.producers]]\nbinding = "Q"\nqueue = "a"\n[[queues.producers]]\nbinding = "Q"\nqueue = "b"\n',
            "Q assigned to multiple Queue bindings.",
            id="85",
        ),
        pytest.param(
            '[[queues.consumers]]\nqueue = "q"\n[[queues.consumers]]\nqueue = "q"\n',
            'Multiple consumers defined for queue "q": "app" and "app"',
            id="74",
        ),
    ],
)
def test_configs_that_do_not_start(project, config, text):
    assert text in problems(project, config)


def test_82_and_84_warn(project):
    project.write(
        "wrangler.toml",
        'name = "app"\nmain = "src/entry.py"\ncompatibility_date = "2026-03-01"\n'
        '[[queues.consumers]]\nqueue = "q"\nmax_bach_size = 5\n[env.dev]\nname = "dev"\n',
    )
    project.code(WORKER)
    server = project.start()
    assert server.find(re.escape('Unexpected fields found in queues.consumers[0] field: "max_bach_size"'))
    server.stop()
    server = project.start("-e", "dev")
    assert server.find(re.escape('"queues" exists at the top level, but not on "env.dev".'))
    assert not server.find("consumes:")
