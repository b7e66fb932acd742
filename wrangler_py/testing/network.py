"""What stands between HTTP clients and the network in a test: a socket that answers, and patches for late imports."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wrangler_py.testing.http import OutboundHttp

__tracebackhide__ = True


class LateImports(importlib.abc.MetaPathFinder):
    """Patches clients that user code imports while it runs."""

    def __init__(
        self, patches: dict[str, Callable[[], list[Callable[[], None]]]], undo: list[Callable[[], None]]
    ) -> None:
        self._patches = patches
        self._undo = undo

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        patch = self._patches.pop(name, None)
        if patch is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                run(module)
                self._undo.extend(patch())

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


class FakeSocket:
    """Takes a request of http.client, and gives the answer of a route."""

    def __init__(self, http: OutboundHttp, connection: Any) -> None:
        self._http = http
        self._connection = connection
        self._sent = bytearray()
        self._answer: io.BytesIO | None = None

    def sendall(self, data: Any) -> None:
        self._sent += bytes(data)

    send = sendall

    def makefile(self, *args: Any, **options: Any) -> io.BytesIO:
        try:
            return self._file()
        except OSError as error:  # told when it is read: http.client makes half an object otherwise
            return _Fails(error)

    def _file(self) -> io.BytesIO:
        head, _, body = bytes(self._sent).partition(b"\r\n\r\n")
        self._sent.clear()
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = _unchunked(body)
        url = target if "://" in target else base_url(self._connection) + target
        reply = self._http.asked(method, url, headers, body)
        if reply is None:
            raise ConnectionError(f"{url} was let through after its connection was taken over")
        if reply.delay_s:
            import time

            time.sleep(reply.delay_s)
        if reply.error is not None:
            raise reply.error
        names = {name.lower() for name, _ in reply.headers}
        answer = [f"HTTP/1.1 {reply.status} Answer", *(f"{name}: {value}" for name, value in reply.headers)]
        if "content-length" not in names:
            answer.append(f"content-length: {len(reply.body)}")
        return io.BytesIO("\r\n".join([*answer, "", ""]).encode("latin-1") + reply.body)

    def close(self) -> None:
        """There is nothing to close."""

    def settimeout(self, _: Any) -> None:
        """It answers at once."""

    setblocking = setsockopt = shutdown = settimeout

    def fileno(self) -> int:
        return -1


class _Fails(io.BytesIO):
    """An answer that does not come."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self._error = error

    def readline(self, size: int | None = -1, /) -> bytes:
        raise self._error


def base_url(connection: Any) -> str:
    scheme = "https" if "HTTPS" in type(connection).__name__ else "http"
    port = "" if connection.port in (None, 80 if scheme == "http" else 443) else f":{connection.port}"
    return f"{scheme}://{connection.host}{port}"


def _unchunked(data: bytes) -> bytes:
    out = bytearray()
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        out += data[:length]
        data = data[length + 2 :]
    return bytes(out)


def words(error: BaseException) -> str:
    return f"Network connection lost. ({type(error).__name__}{f': {error}' if str(error) else ''})"
