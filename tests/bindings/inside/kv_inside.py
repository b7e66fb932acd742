"""Run by pytest inside a fetch handler: Workers KV through workers-runtime-sdk."""

import json

import js
import pytest
from pyodide.ffi import JsException, to_js
from workers import Response, env
from workers.rpc import JsDict, _BindingWrapper

KV = env.KV


async def refused(awaitable):
    with pytest.raises(JsException) as caught:
        await awaitable
    return str(caught.value)


def test_the_sdk_knows_it():
    assert isinstance(KV, _BindingWrapper)


async def test_types_of_values():
    await KV.put("text", "päck")
    assert await KV.get("text") == "päck"
    assert await KV.get("missing") is None
    await KV.put("json", json.dumps({"a": [1, None]}))
    assert await KV.get("json", "json") == {"a": [1, None]}
    assert (await KV.get("json", {"type": "json"})).a == [1, None]
    await KV.put("bytes", b"\x00\xff\x01")
    assert bytes(await KV.get("bytes", type="arrayBuffer")) == b"\x00\xff\x01"
    stream = await KV.get("bytes", "stream")
    assert bytes((await js.Response.new(stream).arrayBuffer()).to_py()) == b"\x00\xff\x01"
    assert (await js.Response.new(await KV.get("text", "stream")).text()) == "päck"
    await KV.put("stream", js.Response.new("streamed").body)
    assert await KV.get("stream") == "streamed"
    await KV.put("number", 5)
    assert await KV.get("number") == "5"


async def test_metadata_and_expiration():
    before = js.Date.now() // 1000
    await KV.put("meta", "v", metadata={"role": "admin", "tags": ["a"]}, expirationTtl=60)
    found = await KV.getWithMetadata("meta")
    assert found == {"value": "v", "metadata": {"role": "admin", "tags": ["a"]}, "cacheStatus": None}
    assert found.metadata.role == "admin" and type(found) is JsDict
    listed = await KV.list(prefix="meta")
    assert before + 55 <= listed["keys"][0].expiration <= before + 70
    assert listed["keys"][0].metadata.role == "admin"
    await KV.put("meta", "again")
    assert await KV.getWithMetadata("meta") == {"value": "again", "metadata": None, "cacheStatus": None}
    assert await KV.getWithMetadata("missing") == {"value": None, "metadata": None, "cacheStatus": None}
    await KV.put("meta", "x", {"expiration": before + 100})
    assert (await KV.list({"prefix": "meta"}))["keys"][0].expiration == before + 100


async def test_bulk():
    await KV.put("b1", "1", metadata={"n": 1})
    await KV.put("b2", '{"x": 2}')
    assert await KV.get(["b1", "b2", "b3"]) == {"b1": "1", "b2": '{"x": 2}', "b3": None}
    assert await KV.get(["b1", "b2"], "json") == {"b1": 1, "b2": {"x": 2}}
    assert await KV.getWithMetadata(["b1", "b3"]) == {
        "b1": {"value": "1", "metadata": {"n": 1}},
        "b3": {"value": None, "metadata": None},
    }
    assert len(await KV.get([f"k{i}" for i in range(100)])) == 100
    bulk = "Error: KV GET_BULK failed: "
    assert await refused(KV.get([f"k{i}" for i in range(101)])) == bulk + "400 You can request a maximum of 100 keys"
    assert await refused(KV.get([])) == bulk + "400 You must request a minimum of 1 key"
    assert await refused(KV.get(["."])) == bulk + '400 Illegal key name ".". Please use a different name.'
    await KV.put("b4", "{bad")
    not_json = "400 At least one of the requested keys corresponds to a non-json value"
    assert await refused(KV.get(["b4"], "json")) == bulk + not_json
    wrong = '400 "arrayBuffer" is not a valid type. Use "json" or "text"'
    assert await refused(KV.get(["b1"], "arrayBuffer")) == bulk + wrong


async def test_list():
    names = [f"list:{i:03}" for i in range(25)]
    for name in names:
        await KV.put(name, "x")
    whole = await KV.list(prefix="list:")
    assert [key.name for key in whole["keys"]] == names
    assert whole.list_complete is True and "cursor" not in whole and whole.cacheStatus is None
    found, cursor = [], None
    for expected in (10, 10, 5):
        page = await KV.list({"prefix": "list:", "limit": 10, **({"cursor": cursor} if cursor else {})})
        assert len(page["keys"]) == expected
        found += [key.name for key in page["keys"]]
        cursor = page.get("cursor")
    assert found == names and cursor is None
    assert await KV.list(prefix="nothing:") == {"keys": [], "list_complete": True, "cacheStatus": None}
    text = "Error: KV GET failed: 400 Invalid key_count_limit of 1001. Please specify an integer less than 1000."
    assert await refused(KV.list(limit=1001)) == text


async def test_delete():
    await KV.put("gone", "x")
    assert await KV.delete("gone") is None
    assert await KV.get("gone") is None
    await KV.delete("gone")


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("", "TypeError: Key name cannot be empty."),
        (".", 'TypeError: "." is not allowed as a key name.'),
        ("..", 'TypeError: ".." is not allowed as a key name.'),
        ("k" * 513, "Error: KV {} failed: 414 UTF-8 encoded length of 513 exceeds key length limit of 512."),
        ("é" * 257, "Error: KV {} failed: 414 UTF-8 encoded length of 514 exceeds key length limit of 512."),
    ],
)
async def test_keys_that_are_refused(key, text):
    assert await refused(KV.get(key)) == text.format("GET")
    assert await refused(KV.put(key, "x")) == text.format("PUT")
    assert await refused(KV.delete(key)) == text.format("DELETE")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"expirationTtl": 59}, "400 Invalid expiration_ttl of 59. Expiration TTL must be at least 60."),
        ({"expirationTtl": 0}, "400 Invalid expiration_ttl of 0. Please specify integer greater than 0."),
        (
            {"expiration": 1000},
            "400 Invalid expiration of 1000. Please specify integer greater than the current number of seconds since "
            "the UNIX epoch.",
        ),
        ({"metadata": "x" * 1023}, "413 Metadata length of 1025 exceeds limit of 1024."),
    ],
)
async def test_puts_that_are_refused(options, text):
    assert await refused(KV.put("refused", "x", options)) == "Error: KV PUT failed: " + text
    assert await KV.get("refused") is None


async def test_sizes():
    await KV.put("k" * 512, b"x")
    # Not through the SDK, which looks at each byte of a value.
    raw, limit = KV._binding, 25 * 1024 * 1024
    await raw.put("large", js.Uint8Array.new(limit), metadata="x" * 1022)
    assert (await raw.get("large", "arrayBuffer")).byteLength == limit
    text = "Error: KV PUT failed: 413 Value length of 26214401 exceeds limit of 26214400."
    assert await refused(raw.put("large", js.Uint8Array.new(limit + 1))) == text
    await KV.delete("large")


async def test_values_and_types_that_are_refused():
    kinds = "TypeError: KV put() accepts only strings, ArrayBuffers, ArrayBufferViews, and ReadableStreams as values."
    assert await refused(KV.put("refused", {"a": 1})) == kinds
    unknown = 'TypeError: Unknown response type. Possible types are "text", "arrayBuffer", "json", and "stream".'
    assert await refused(KV.get("text", "xml")) == unknown
    await KV.put("bad", "{bad")
    assert (await refused(KV.get("bad", "json"))).startswith("SyntaxError: ")
    ttl = "Error: KV GET failed: 400 Invalid cache_ttl of 10. Cache TTL must be at least 30."
    assert await refused(KV.get("text", {"cacheTtl": 10})) == ttl


async def test_without_the_sdks_conversions():
    raw = KV._binding
    assert raw.constructor.name == "KvNamespace"
    await raw.put("raw", "x", to_js({"metadata": {"a": 1}}, dict_converter=js.Object.fromEntries))
    found = await raw.getWithMetadata("raw")
    assert found.value == "x" and found.metadata.a == 1
    assert found.to_py()["metadata"] == {"a": 1}
    assert (await raw.get(to_js(["raw"]))).get("raw") == "x"


async def test_a_value_as_a_response():
    await KV.put("page", "<p>hello</p>")
    response = Response(await KV.get("page", "stream"))
    assert await response.text() == "<p>hello</p>"
