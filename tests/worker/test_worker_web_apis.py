"""Web APIs of `js` beyond conversions: keys, the Cache API, compression, transforms, events; against known answers."""

from __future__ import annotations

from pathlib import Path

from session_project import Project

WORKER = """
    import asyncio
    import gzip
    import hashlib
    import hmac
    import js
    from js import Object, Uint8Array
    from pyodide.ffi import JsException, create_proxy, to_js
    from workers import Request, Response, WorkerEntrypoint, fetch

    def obj(**fields):
        return to_js(fields, dict_converter=Object.fromEntries)

    async def failure(call):
        try:
            result = call()
            if hasattr(result, "__await__"):
                result = await result
        except JsException as error:
            return f"{error.name}: {error.message}"
        return f"no error: {result}"

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            await getattr(self, request.url.rsplit("/", 1)[1])()
            return Response("fine")

        async def crypto(self):
            subtle, secret, data = js.crypto.subtle, to_js(b"secret"), to_js(b"data")
            algorithm = obj(name="HMAC", hash="SHA-256")
            key = await subtle.importKey("raw", secret, algorithm, True, to_js(["sign", "verify"]))
            signature = await subtle.sign("HMAC", key, data)
            assert signature.to_bytes() == hmac.digest(b"secret", b"data", "sha256")
            assert await subtle.verify("HMAC", key, signature, data) is True
            assert await subtle.verify("HMAC", key, signature, to_js(b"other")) is False
            assert (key.type, key.algorithm.name, key.algorithm.hash.name, key.usages.to_py()) == (
                "secret", "HMAC", "SHA-256", ["sign", "verify"])
            assert (await subtle.exportKey("raw", key)).to_bytes() == b"secret"
            assert (await subtle.exportKey("jwk", key)).k == "c2VjcmV0"
            hidden = await subtle.importKey("raw", secret, algorithm, False, to_js(["verify"]))
            assert (await failure(lambda: subtle.exportKey("raw", hidden))).startswith("InvalidAccessError")
            assert (await failure(lambda: subtle.sign("HMAC", hidden, data))).startswith("InvalidAccessError")
            base = await subtle.importKey("raw", secret, "PBKDF2", False, to_js(["deriveBits"]))
            bits = await subtle.deriveBits(obj(name="PBKDF2", hash="SHA-256", salt=to_js(b"salt"), iterations=10), base, 256)
            assert bits.to_bytes() == hashlib.pbkdf2_hmac("sha256", b"secret", b"salt", 10)
            # RFC 5869, test case 1
            base = await subtle.importKey("raw", to_js(b"\\x0b" * 22), "HKDF", False, to_js(["deriveBits"]))
            bits = await subtle.deriveBits(obj(name="HKDF", hash="SHA-256", salt=to_js(bytes(range(13))),
                info=to_js(bytes(range(0xf0, 0xfa)))), base, 42 * 8)
            assert bits.to_bytes().hex() == (
                "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")
            assert (await subtle.digest("SHA-512", data)).to_bytes() == hashlib.sha512(b"data").digest()
            assert (await failure(lambda: subtle.importKey("raw", secret, "RSA-OAEP", True, to_js([])))).startswith(
                "NotSupportedError: wpy does not emulate RSA-OAEP")
            assert (await subtle.generateKey(obj(name="HMAC", hash="SHA-1"), True, to_js(["sign"]))).algorithm.length == 512

        async def caches(self):
            cache, url = js.caches.default, "http://example.com/cached"
            assert await cache.match(url) is None
            kept = js.Response.new("body", obj(headers=obj(**{"Cache-Control": "max-age=60", "ETag": '"x"'})))
            await cache.put(url, kept)
            found = await cache.match(js.Request.new(url))
            assert (found.status, await found.text(), found.headers.get("cf-cache-status")) == (200, "body", "HIT")
            assert int(found.headers.get("age")) in range(30)
            part = await cache.match(js.Request.new(url, obj(headers=obj(Range="bytes=1-2"))))
            assert (part.status, await part.text(), part.headers.get("content-range")) == (206, "od", "bytes 1-2/4")
            same = await cache.match(js.Request.new(url, obj(headers=obj(**{"If-None-Match": '"x"'}))))
            assert same.status == 304
            await cache.put(url + "?private", js.Response.new("x", obj(headers=obj(**{"Cache-Control": "no-store"}))))
            assert await cache.match(url + "?private") is None
            other = await js.caches.open("other")
            assert await other.match(url) is None
            assert await cache.delete(url) is True and await cache.delete(url) is False
            post = js.Request.new(url, obj(method="POST"))
            assert await failure(lambda: cache.put(post, js.Response.new("x"))) == (
                "TypeError: Cannot cache response to non-GET request.")

        async def compression(self):
            body = js.Response.new("hello " * 100).body
            packed = await js.Response.new(body.pipeThrough(js.CompressionStream.new("gzip"))).arrayBuffer()
            assert gzip.decompress(packed.to_bytes()) == b"hello " * 100 and packed.byteLength < 100
            again = js.Response.new(packed).body.pipeThrough(js.DecompressionStream.new("gzip"))
            assert await js.Response.new(again).text() == "hello " * 100
            broken = js.Response.new("no gzip").body.pipeThrough(js.DecompressionStream.new("gzip"))
            assert (await failure(lambda: js.Response.new(broken).text())).startswith("TypeError: Decompression failed.")
            assert (await failure(lambda: js.CompressionStream.new("zip"))).startswith("TypeError: The compression format")
            texts = js.Response.new("äöü").body.pipeThrough(js.TextDecoderStream.new())
            reader = texts.getReader()
            assert (await reader.read()).value == "äöü"

        async def transforms(self):
            def double(chunk, controller):
                controller.enqueue(chunk)
                controller.enqueue(chunk)
            stream = js.TransformStream.new(obj(transform=create_proxy(double)))
            source = js.ReadableStream.from_(to_js(["a", "b"]))
            left, right = source.pipeThrough(stream).tee()
            async def everything(readable):
                return [chunk async for chunk in readable]
            assert await asyncio.gather(everything(left), everything(right)) == [["a", "a", "b", "b"]] * 2
            fixed = js.FixedLengthStream.new(3)
            writer = fixed.writable.getWriter()
            async def write():
                await writer.write(to_js(b"abc"))
                await writer.close()
            writing = asyncio.ensure_future(write())
            assert await js.Response.new(fixed.readable).text() == "abc"
            await writing
            controller = js.AbortController.new()
            heard = []
            controller.signal.addEventListener("abort", create_proxy(lambda event: heard.append(event.type)))
            controller.abort("why")
            assert heard == ["abort"] and controller.signal.reason == "why"
            assert await js.scheduler.wait(1) is None
            assert js.CustomEvent.new("x", obj(detail=5)).detail == 5
            assert js.process.platform == "linux" and js.navigator.userAgent == "Cloudflare-Workers"
            assert js.Symbol("x").toString() == "Symbol(x)" and js.Reflect.has(obj(a=1), "a")
"""


def test_web_apis(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.config()
    project.code(WORKER)
    with project.server() as server:
        for what in ("crypto", "caches", "compression", "transforms"):
            assert server.get(f"/{what}").text == "fine", what
