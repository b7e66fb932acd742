"""Run by pytest inside a fetch handler: R2 through workers-runtime-sdk."""

import hashlib
from datetime import datetime, timedelta

import js
import pytest
from pyodide.ffi import JsException
from workers import Response, env
from workers.rpc import _BindingWrapper

BUCKET = env.BUCKET
NOW = datetime.now


async def refused(awaitable):
    with pytest.raises(JsException) as caught:
        await awaitable
    return str(caught.value)


def test_the_sdk_knows_it():
    assert isinstance(BUCKET, _BindingWrapper)
    assert BUCKET._binding.constructor.name == "R2Bucket"


async def test_put_get_head_delete():
    made = await BUCKET.put("k", "hello", httpMetadata={"contentType": "text/plain"}, customMetadata={"a": "1"})
    md5 = hashlib.md5(b"hello").hexdigest()
    assert (made.key, made.size, made.etag, made.httpEtag) == ("k", 5, md5, f'"{md5}"')
    assert isinstance(made.uploaded, datetime) and abs(NOW() - made.uploaded) < timedelta(minutes=5)
    assert len(made.version) == 32 and made.storageClass == "Standard"
    assert made.httpMetadata.contentType == "text/plain" and made.customMetadata == {"a": "1"}
    assert bytes(made.checksums.md5).hex() == md5 and made.checksums.sha1 is None
    got = await BUCKET.get("k")
    assert got._binding.constructor.name == "GetResult" and got._binding.bodyUsed is False
    assert await got.text() == "hello" and got._binding.bodyUsed is True
    again = (
        "TypeError: Body has already been used. It can only be used once. Use tee() first if you need to read it twice."
    )
    assert await refused(got.text()) == again
    head = await BUCKET.head("k")
    assert head._binding.constructor.name == "HeadResult" and head.etag == md5 and not hasattr(head, "body")
    await BUCKET.delete("k")
    assert await BUCKET.get("k") is None and await BUCKET.head("k") is None
    await BUCKET.delete("k")


async def test_bodies():
    await BUCKET.put("j", '{"a": [1]}')
    assert await (await BUCKET.get("j")).json() == {"a": [1]}
    await BUCKET.put("b", b"\x00\x01")
    assert bytes(await (await BUCKET.get("b")).arrayBuffer()) == b"\x00\x01"
    assert bytes(await (await BUCKET.get("b")).bytes()) == b"\x00\x01"
    await BUCKET.put("empty", "")
    assert await (await BUCKET.get("empty")).text() == ""
    await BUCKET.put("none", None)
    assert (await BUCKET.head("none")).size == 0
    await BUCKET.put("stream", js.Response.new("from a response").body)
    assert await (await BUCKET.get("stream")).text() == "from a response"
    response = Response((await BUCKET.get("stream")).body, headers={"x": "y"})
    assert await response.text() == "from a response"
    unknown = "TypeError: Provided readable stream must have a known length (request/response body or readable half of FixedLengthStream)"
    assert await refused(BUCKET.put("s", js.ReadableStream.new())) == unknown
    kinds = "ReadableStream or ArrayBuffer or ArrayBufferView or string or Blob"
    wrong = f"TypeError: Failed to execute 'put' on 'R2Bucket': parameter 2 is not of type '{kinds}'."
    assert await refused(BUCKET.put("s", 5)) == wrong
    assert await refused(BUCKET.put("s", {"a": 1})) == wrong


async def test_large_bodies_are_streamed():
    data = bytes(range(256)) * 40_000
    await BUCKET.put("large", data)
    assert bytes(await (await BUCKET.get("large")).arrayBuffer()) == data
    copied = await BUCKET.put("copy", (await BUCKET.get("large")).body, sha256=hashlib.sha256(data).hexdigest())
    assert copied.size == len(data) and bytes(copied.checksums.sha256) == hashlib.sha256(data).digest()
    fixed = js.FixedLengthStream.new(3)
    writer = fixed.writable.getWriter()
    putting = BUCKET.put("fixed", fixed.readable)
    writer.write(js.Uint8Array.new([1, 2, 3]))
    writer.close()
    assert (await putting).size == 3
    unread = await BUCKET.get("large")
    await BUCKET.put("large", "small now")
    assert bytes(await unread.arrayBuffer()) == data  # what was begun stays what it was
    assert await (await BUCKET.get("large")).text() == "small now"


async def test_streams_that_cannot_be_stored():
    read = js.Response.new("x")
    await read.text()
    held = js.Response.new("x")
    held.body.getReader()
    for response in (read, held):
        taken = "TypeError: The ReadableStream has been locked to a reader."
        assert await refused(BUCKET.put("s", response.body)) == taken
        assert await refused(env.KV.put("s", response.body)) == taken
    for size, text in (
        (5, "FixedLengthStream did not see all expected bytes before close()."),
        (2, "Attempt to write too many"),
    ):
        fixed = js.FixedLengthStream.new(size)
        putting = BUCKET.put("short", fixed.readable)
        writer = fixed.writable.getWriter()
        writer.write(js.Uint8Array.new(3))
        writer.close()
        assert text in await refused(putting)
    assert await BUCKET.head("short") is None
    left, right = (await BUCKET.put("tee", "both")) and (await BUCKET.get("tee")).body.tee()
    await BUCKET.put("copy", left)
    assert await js.Response.new(right).text() == "both"


async def test_http_metadata():
    headers = js.Headers.new()
    given = {"contentType": "a/b", "cacheControl": "no-store", "cacheExpiry": datetime(2030, 1, 1)}
    made = await BUCKET.put("meta", "x", {"httpMetadata": given})
    assert made.httpMetadata.cacheExpiry == datetime(2030, 1, 1) and made.httpMetadata.contentLanguage is None
    made.writeHttpMetadata(headers)
    assert headers.get("content-type") == "a/b" and headers.get("cache-control") == "no-store"
    assert headers.get("expires") == "Tue, 01 Jan 2030 00:00:00 GMT"
    copied = await BUCKET.put("meta", "x", httpMetadata=headers)
    assert copied.httpMetadata.contentType == "a/b" and copied.httpMetadata.cacheExpiry == datetime(2030, 1, 1)
    bad = "TypeError: Failed to execute 'writeHttpMetadata' on 'HeadResult': parameter 1 is not of type 'Headers'."
    with pytest.raises(JsException) as caught:
        made.writeHttpMetadata({})
    assert str(caught.value) == bad
    too_large = "Error: put: Your metadata headers exceed the maximum allowed metadata size. (10012)"
    assert await refused(BUCKET.put("meta", "x", customMetadata={"k": "v" * 8192})) == too_large


@pytest.mark.parametrize(
    ("asked", "given", "text"),
    [
        ({"offset": 2, "length": 3}, (2, 3), "llo"),
        ({"offset": 6}, (6, 5), "world"),
        ({"length": 3}, (0, 3), "hel"),
        ({"suffix": 3}, (8, 3), "rld"),
        ({"offset": 6, "length": 1000}, (6, 5), "world"),
        ({"suffix": 300}, (0, 11), "hello world"),
        ({}, (0, 11), "hello world"),
    ],
)
async def test_ranges(asked, given, text):
    await BUCKET.put("range", "hello world")
    got = await BUCKET.get("range", range=asked)
    assert (got.range.offset, got.range.length, got.size) == (*given, 11)
    assert await got.text() == text


@pytest.mark.parametrize("header", ["bytes=1-3", "bytes=-3", "bytes=1-3,5-6", "foo", "bytes=50-", None])
async def test_range_headers(header):
    await BUCKET.put("range", "hello world")
    headers = js.Headers.new()
    if header is not None:
        headers.set("range", header)
    expected = {"bytes=1-3": "ell", "bytes=-3": "rld"}.get(header, "hello world")
    assert await (await BUCKET.get("range", range=headers)).text() == expected


async def test_ranges_that_are_refused():
    await BUCKET.put("range", "hello world")
    for asked in ({"offset": 11}, {"offset": 60}, {"length": 0}, {"suffix": 0}):
        text = "Error: get: The requested range is not satisfiable (10039)"
        assert await refused(BUCKET.get("range", range=asked)) == text
    negative = "RangeError: Invalid range. Starting offset (-1) must be greater than or equal to 0."
    assert await refused(BUCKET.get("range", range={"offset": -1})) == negative
    both = "TypeError: Suffix is incompatible with offset."
    assert await refused(BUCKET.get("range", range={"suffix": 1, "offset": 1})) == both


async def test_conditions():
    etag = (await BUCKET.put("cond", "v1")).etag
    later, before = NOW() + timedelta(days=1), NOW() - timedelta(days=1)

    async def holds(**condition):
        got = await BUCKET.get("cond", onlyIf=condition)
        assert got is not None and got.etag == etag
        return hasattr(got, "body")

    assert await holds(etagMatches=etag) and not await holds(etagMatches="other") and await holds(etagMatches="*")
    assert await holds(etagDoesNotMatch="other") and not await holds(etagDoesNotMatch=etag)
    assert await holds(uploadedBefore=later) and not await holds(uploadedBefore=before)
    assert await holds(uploadedAfter=before) and not await holds(uploadedAfter=later)
    assert await holds(etagMatches=etag, uploadedBefore=before) and await holds(
        etagDoesNotMatch="x", uploadedAfter=later
    )

    async def with_header(name, value):
        headers = js.Headers.new()
        headers.set(name, value)
        return hasattr(await BUCKET.get("cond", onlyIf=headers), "body")

    assert await with_header("if-match", f'"other", "{etag}"') and not await with_header("if-match", f'W/"{etag}"')
    assert not await with_header("if-none-match", f'"{etag}"') and not await with_header("if-none-match", "*")
    assert not await with_header("if-modified-since", "Tue, 01 Jan 2999 00:00:00 GMT")
    assert await refused(with_header("if-match", etag)) == "Error: Invalid ETag in if-match header"
    quoted = f'TypeError: Conditional ETag should not be wrapped in quotes ("{etag}").'
    assert await refused(BUCKET.get("cond", onlyIf={"etagMatches": f'"{etag}"'})) == quoted

    assert await BUCKET.put("cond", "v2", onlyIf={"etagMatches": "other"}) is None
    assert await (await BUCKET.get("cond")).text() == "v1"
    assert await BUCKET.put("cond", "v2", onlyIf={"etagMatches": etag}) is not None
    assert await (await BUCKET.get("cond")).text() == "v2"
    fresh = js.Headers.new()
    fresh.set("if-none-match", "*")
    assert await BUCKET.put("cond", "v3", onlyIf=fresh) is None
    await BUCKET.delete("fresh")
    assert await BUCKET.put("fresh", "v1", onlyIf=fresh) is not None


async def test_checksums():
    for kind in ("md5", "sha1", "sha256", "sha384", "sha512"):
        digest = hashlib.new(kind, b"abc")
        made = await BUCKET.put("sum", "abc", {kind: digest.hexdigest()})
        assert bytes(getattr(made.checksums, kind)) == digest.digest()
        made = await BUCKET.put("sum", "abc", {kind: digest.digest()})
        assert made.checksums.toJSON()[kind] == digest.hexdigest()
    actual = hashlib.sha256(b"abd").hexdigest()
    given = hashlib.sha256(b"abc").hexdigest()
    text = (
        "Error: put: The SHA-256 checksum you specified did not match what we received.\n"
        f"You provided a SHA-256 checksum with value: {given}\nActual SHA-256 was: {actual} (10037)"
    )
    assert await refused(BUCKET.put("sum", "abd", sha256=given)) == text
    assert await (await BUCKET.get("sum")).text() == "abc"
    assert await refused(BUCKET.put("sum", "x", md5="9001")) == "TypeError: MD5 is 32 hex characters, not 4"
    assert await refused(BUCKET.put("sum", "x", sha1="z" * 40)) == "TypeError: Provided SHA-1 wasn't a valid hex string"
    two = "TypeError: You cannot specify multiple hashing algorithms."
    assert await refused(BUCKET.put("sum", "x", md5="0" * 32, sha1="0" * 40)) == two


@pytest.fixture
async def tree():
    for key in (await BUCKET.list()).objects:
        await BUCKET.delete(key.key)
    for key in ("a/1", "a/2", "a/b/3", "b", "c/1", "é", "d"):
        await BUCKET.put(key, "x", customMetadata={"key": key}, httpMetadata={"contentType": "t"})


async def test_list(tree):
    async def listed(**options):
        page = await BUCKET.list(**options)
        return [found.key for found in page.objects], page.delimitedPrefixes, page.truncated

    assert await listed() == (["a/1", "a/2", "a/b/3", "b", "c/1", "d", "é"], [], False)
    assert await listed(prefix="a/") == (["a/1", "a/2", "a/b/3"], [], False)
    assert await listed(delimiter="/") == (["b", "d", "é"], ["a/", "c/"], False)
    assert await listed(prefix="a/", delimiter="/") == (["a/1", "a/2"], ["a/b/"], False)
    assert await listed(startAfter="a/2") == (["a/b/3", "b", "c/1", "d", "é"], [], False)
    assert await listed(limit=2) == (["a/1", "a/2"], [], True)
    found, prefixes, cursor = [], [], None
    while True:
        page = await BUCKET.list(delimiter="/", limit=1, **({"cursor": cursor} if cursor else {}))
        found += [each.key for each in page.objects]
        prefixes += page.delimitedPrefixes
        if not page.truncated:
            break
        cursor = page.cursor
    assert (found, prefixes) == (["b", "d", "é"], ["a/", "c/"])
    bare = (await BUCKET.list(limit=1)).objects[0]
    assert bare.customMetadata.to_py() == {} and bare.httpMetadata.contentType is None
    full = (await BUCKET.list(limit=1, include=["customMetadata", "httpMetadata"])).objects[0]
    assert full.customMetadata.key == "a/1" and full.httpMetadata.contentType == "t"
    keys = "Error: list: MaxKeys params must be positive integer <= 1000. (10022)"
    assert await refused(BUCKET.list(limit=1001)) == keys and await refused(BUCKET.list(limit=0)) == keys
    assert await refused(BUCKET.list(include=["x"])) == "RangeError: Unsupported include value x"


async def test_delete_many(tree):
    await BUCKET.delete(["a/1", "a/2", "nothing"])
    assert [found.key for found in (await BUCKET.list(prefix="a")).objects] == ["a/b/3"]
    assert "at most 1000" in await refused(BUCKET.delete([f"k{i}" for i in range(1001)]))


async def test_multipart():
    part = b"p" * (5 * 1024 * 1024)
    upload = await BUCKET.createMultipartUpload("mp", customMetadata={"a": "1"}, httpMetadata={"contentType": "x/y"})
    assert upload.key == "mp" and isinstance(upload.uploadId, str)
    first = await upload.uploadPart(1, part)
    old = await upload.uploadPart(2, "old")
    resumed = BUCKET.resumeMultipartUpload("mp", upload.uploadId)
    second = await resumed.uploadPart(2, "tail")
    assert first.partNumber == 1 and second.etag != old.etag
    failed = "Error: completeMultipartUpload: "
    assert (
        await refused(upload.complete([first, old]))
        == failed + "One or more of the specified parts could not be found. (10025)"
    )
    made = await upload.complete([first, second])
    digest = hashlib.md5(hashlib.md5(part).digest() + hashlib.md5(b"tail").digest()).hexdigest()
    assert made.size == len(part) + 4 and made.etag == f"{digest}-2" and made.customMetadata == {"a": "1"}
    got = await BUCKET.get("mp", range={"suffix": 6})
    assert await got.text() == "pptail" and got.httpMetadata.contentType == "x/y"
    over = "The specified multipart upload does not exist. (10024)"
    assert await refused(upload.complete([first, second])) == failed + over
    assert await refused(upload.uploadPart(1, "x")) == "Error: uploadPart: " + over
    await upload.abort()
    assert await (await BUCKET.get("mp", range={"suffix": 4})).text() == "tail"

    small = await BUCKET.createMultipartUpload("mp2")
    parts = [await small.uploadPart(1, "small"), await small.uploadPart(2, "small")]
    too_small = "Your proposed upload is smaller than the minimum allowed object size. (10011)"
    assert await refused(small.complete(parts)) == failed + too_small
    larger = await small.uploadPart(2, part + b"x")
    assert await refused(small.complete([await small.uploadPart(1, part), larger])) == (
        failed + "There was a problem with the multipart upload. (10048)"
    )
    await small.abort()
    assert await BUCKET.head("mp2") is None
    number = "TypeError: Part number must be between 1 and 10000 (inclusive). Actual value was: 0"
    assert await refused(small.uploadPart(0, "x")) == number


async def test_names():
    name = "Error: {}: The specified object name is not valid. (10020)"
    long = "k" * 1025
    assert await refused(BUCKET.put(long, "x")) == name.format("put")
    assert await refused(BUCKET.get(long)) == name.format("get")
    assert await refused(BUCKET.head(long)) == name.format("head")
    assert await refused(BUCKET.delete(long)) == name.format("delete")
    assert await refused(BUCKET.createMultipartUpload(long)) == name.format("createMultipartUpload")
    await BUCKET.put("k" * 1024, "x")


async def test_what_wpy_does_not_do_is_said():
    assert "wpy does not encrypt" in await refused(BUCKET.put("k", "x", ssecKey="a" * 64))


async def test_storage_class():
    assert (await BUCKET.put("cold", "x", storageClass="InfrequentAccess")).storageClass == "InfrequentAccess"
