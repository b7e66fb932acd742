"""RPC between Python and JavaScript Workers of a session: methods, functions, streams and exceptions, both ways."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from js_project import JsProject
from websockets.sync.client import connect

PYTHON = """\
import asyncio
import json
from datetime import datetime

from js import Response as JsResponse, WebSocketPair
from pyodide.ffi import JsException, create_proxy
from workers import Blob, Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        if request.url.endswith("/raise"):
            raise ValueError("no fetch today")
        if request.url.endswith("/socket"):
            client, server = WebSocketPair.new().object_values()
            server.accept()
            server.addEventListener("message", create_proxy(lambda event: server.send(f"python heard {event.data}")))
            return Response(None, status=101, web_socket=client)
        js = self.env.JS
        seen = {}
        seen["sum"] = await js.add(1, 2)
        seen["echo"] = await js.echo({"a": [1, None, "é", 1.5], "when": datetime(2026, 3, 1), "bytes": b"abc"})
        seen["nothing"] = await js.nothing()
        seen["props"] = await self.env.NAMED.who("me")
        seen["called back"] = await js.callMe(lambda text: f"python heard {text}")
        counter = await js.counter(5)
        seen["counter"] = [await counter.up(), await counter.up(2)]
        double = await js.doubler()
        seen["double"] = await double(21)
        seen["stream"] = await JsResponse.new(await js.stream()).text()
        seen["page"] = await (await js.page()).text()
        seen["long"] = len(await js.repeat("x" * 1_500_000))
        seen["both"] = await asyncio.gather(js.add(1, 1), js.add(2, 2))
        for name, call in {
            "own": lambda: js.fail("RangeError"), "odd": lambda: js.fail("OddError"), "missing": lambda: js.missing(1),
            "nowhere": lambda: self.env.NOWHERE.who("me"),
            "blob": lambda: js.echo(Blob(["text"])),
        }.items():
            try:
                await call()
                seen[name] = "returned"
            except JsException as error:
                seen[name] = f"{error.name}: {error.message}"
        return Response(json.dumps(seen, default=str))

    async def add(self, one, other):
        return one + other

    async def echo(self, value):
        return value

    async def kinds(self, value):
        return {key: type(item).__name__ for key, item in value.items()}

    async def fail(self):
        raise ValueError("no such thing")

    async def visit(self, visitor):
        return [await visitor("one"), await visitor("two")]

    async def adder(self, start):
        return lambda more: start + more

    async def page(self):
        return Response("a page", status=201, headers={"x-from": "python"})

class Named(WorkerEntrypoint):
    async def who(self):
        return f"named, {self.ctx.props.role}"
"""
JAVASCRIPT = """\
import { WorkerEntrypoint, RpcTarget } from "cloudflare:workers";

class Counter extends RpcTarget {
  constructor(public value: number) { super(); }
  up(by = 1) { return (this.value += by); }
}

class OddError extends Error { name = "OddError"; }

async function told(call: () => Promise<unknown>) {
  try { return await call(); } catch (error: any) { return { name: error.name, message: error.message }; }
}

export default class extends WorkerEntrypoint<any> {
  async fetch(request: Request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/socket") return this.env.PYTHON.fetch(request);
    if (pathname === "/ask") return this.env.PYTHON.fetch("http://python/");
    const python = this.env.PYTHON;
    const value = {
      list: [1, null, undefined, "é", 1.5, -0, NaN], map: new Map([["a", 1]]), set: new Set([1]), when: new Date(1e12),
      bytes: new Uint8Array([1, 2, 3]), big: 1n,
    };
    const back = await python.echo({ list: [1, "é", 1.5], when: value.when, bytes: value.bytes, nothing: null });
    using add = await python.adder(40);
    const page = await python.page();
    return Response.json({
      sum: await python.add(1, 2),
      back: [back.list, back.when.getTime(), [...new Uint8Array(back.bytes.buffer ?? back.bytes)], back.nothing],
      kinds: await python.kinds(value),
      visited: await python.visit((name: string) => `js saw ${name}`),
      adder: await add(2),
      pipelined: await python.adder(1)(2),
      page: [page.status, page.headers.get("x-from"), await page.text()],
      named: await this.env.NAMED.who(),
      long: (await python.echo("x".repeat(1_500_000))).length,
      failed: await told(() => python.fail()),
      missing: await told(() => python.missing()),
      fetched: await told(() => python.fetch("http://python/raise")),
      nobody: await told(() => this.env.NOBODY.add(1, 2)),
    });
  }
  add(one: number, other: number) { return one + other; }
  echo(value: unknown) { return value; }
  nothing() {}
  async callMe(callback: (text: string) => Promise<string>) { return `js got: ${await callback("hello")}`; }
  counter(start: number) { return new Counter(start); }
  doubler() { return (value: number) => value * 2; }
  page() { return new Response("a page of js"); }
  stream() { return new Response("a ".repeat(3)).body; }
  repeat(text: string) { return text + text; }
  fail(name: string) { throw name === "OddError" ? new OddError("odd") : new RangeError("too far"); }
}

export class Named extends WorkerEntrypoint<any> {
  who(name: string) { return `named, ${(this.ctx as any).props.role}, ${name}`; }
}
"""


@pytest.mark.parametrize("date", ["2026-04-01", "2024-04-03"])
def test_methods_are_called_both_ways(js: JsProject, date: str) -> None:
    js.write("python/entry.py", PYTHON)
    config: dict[str, Any] = {
        "name": "python",
        "main": "entry.py",
        "compatibility_date": "2026-03-01",
        "compatibility_flags": ["python_workers"],
        "services": [
            {"binding": "JS", "service": "edge"},
            {"binding": "NAMED", "service": "edge", "entrypoint": "Named", "props": {"role": "guest"}},
            {"binding": "NOWHERE", "service": "edge", "entrypoint": "Nowhere"},
        ],
    }
    js.write("python/wrangler.json", json.dumps(config))
    services = [
        {"binding": "PYTHON", "service": "python"},
        {"binding": "NAMED", "service": "python", "entrypoint": "Named", "props": {"role": "admin"}},
        {"binding": "NOBODY", "service": "nobody"},
    ]
    edge = js.worker(JAVASCRIPT, {"services": services, "compatibility_date": date})
    server = js.start(configs=(edge, "python/wrangler.json"))

    said = server.get("/").json()
    assert said["sum"] == 3
    assert said["back"] == [[1, "é", 1.5], 1e12, [1, 2, 3], None]
    assert said["visited"] == ["js saw one", "js saw two"]
    assert (said["adder"], said["pipelined"]) == (42, 3)
    assert said["page"] == [201, "python", "a page"]
    assert said["named"] == "named, admin"
    assert said["long"] == 1_500_000
    kinds = {
        "list": "list",
        "map": "JsDict",
        "set": "set",
        "when": "datetime",
        "bytes": "memoryview",
        "big": "JsBigInt",
    }
    assert said["kinds"] == kinds
    for name, text in (("failed", "no such thing"), ("fetched", "no fetch today")):
        assert said[name]["name"] == "Error"
        assert re.fullmatch(
            rf"PythonError: Traceback .*entry\.py.*ValueError: {text}", said[name]["message"], re.DOTALL
        )
    assert said["missing"]["message"] == "PythonError: TypeError: Method missing does not exist"
    assert said["nobody"]["message"].startswith('Cannot access "add" as we couldn\'t find a local dev session')

    with connect(server.url.replace("http", "ws", 1) + "/socket") as socket:
        socket.send("hello")
        assert socket.recv(timeout=10) == "python heard hello"

    asked = server.get("/ask").json()
    assert asked["sum"] == 3
    assert asked["echo"] == {"a": [1, None, "é", 1.5], "when": "2026-03-01 00:00:00", "bytes": asked["echo"]["bytes"]}
    assert asked["nothing"] is None
    assert asked["props"] == "named, guest, me"
    assert asked["called back"] == "js got: python heard hello"
    assert (asked["counter"], asked["double"], asked["both"]) == ([6, 8], 42, [2, 4])
    assert (asked["stream"], asked["page"], asked["long"]) == ("a a a ", "a page of js", 3_000_000)
    assert asked["own"] == "RangeError: too far"
    unsupported = 'Could not serialize object of type "Blob". This type does not support serialization.'
    assert asked["blob"] == f"DataCloneError: {unsupported}"
    assert asked["nowhere"] == "TypeError: The Worker has no entrypoint Nowhere."
    assert asked["odd"] == "Error: OddError: odd"
    assert asked["missing"] == 'TypeError: The RPC receiver does not implement the method "missing".'
