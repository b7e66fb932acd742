"""`pyodide.http`: fetch with Python's types."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from ..js.core import JsException, JsProxy, make_object


class HttpStatusError(OSError):
    """The answer's status was 4xx or 5xx. Raised by `FetchResponse.raise_for_status`."""

    def __init__(self, status: int, status_text: str, url: str) -> None:
        self.status = status
        self.status_text = status_text
        self.url = url
        side = "Client" if 400 <= status < 500 else "Server"
        super().__init__(f"{status} {side} Error: {status_text} for url: {url}")

    def __reduce__(self) -> Any:
        return type(self), (self.status, self.status_text, self.url)


class BodyUsedError(OSError):
    """The body was read before."""

    def __init__(self, *args: Any) -> None:
        super().__init__("Response body is already used", *args)


class AbortError(OSError):
    """The request was aborted, or failed on the way."""

    def __init__(self, reason: Any) -> None:
        super().__init__(getattr(reason, "message", reason))
        self.reason = reason


def _aborts(method: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    @wraps(method)
    async def wrapper(self: FetchResponse, *args: Any, **kwargs: Any) -> Any:
        try:
            return await method(self, *args, **kwargs)
        except JsException as error:
            signal = self.abort_signal
            raise AbortError(signal.reason if signal is not None and signal.aborted else error) from None
        except asyncio.CancelledError:
            if self.abort_controller is not None:
                self.abort_controller.abort()
            raise

    return wrapper


class FetchResponse:
    """The answer to a request, around a JavaScript Response."""

    def __init__(self, request: Any, js_response: Any, abort_controller: Any = None, abort_signal: Any = None) -> None:
        self._request = request
        self.js_response = js_response
        self.abort_controller = abort_controller
        self.abort_signal = abort_signal

    @property
    def js_request(self) -> Any:
        """The JavaScript Request, None when the URL is not known."""
        if isinstance(self._request, str):
            from ..js.request import Request

            self._request = Request.new(self._request) if self._request else None
        return self._request

    @property
    def body_used(self) -> bool:
        return self.js_response.bodyUsed

    @property
    def headers(self) -> Any:
        return dict(self.js_response.headers.items())

    @property
    def ok(self) -> bool:
        return self.js_response.ok

    @property
    def redirected(self) -> bool:
        return self.js_response.redirected

    @property
    def status(self) -> int:
        return self.js_response.status

    @property
    def status_text(self) -> str:
        return self.js_response.statusText

    @property
    def type(self) -> str:
        return self.js_response.type

    @property
    def url(self) -> str:
        return self.js_response.url

    def _raise_if_failed(self) -> None:
        signal = self.abort_signal
        if signal is not None and signal.aborted:
            raise AbortError(signal.reason)
        if self.js_response.bodyUsed:
            raise BodyUsedError

    def raise_for_status(self) -> None:
        """Raises HttpStatusError when the status is 4xx or 5xx."""
        if 400 <= self.status < 600:
            raise HttpStatusError(self.status, self.status_text, self.url)

    def clone(self) -> FetchResponse:
        if self.js_response.bodyUsed:
            raise BodyUsedError
        return FetchResponse(self._request, self.js_response.clone(), self.abort_controller, self.abort_signal)

    @_aborts
    async def buffer(self) -> Any:
        self._raise_if_failed()
        return await self.js_response.arrayBuffer()

    @_aborts
    async def text(self) -> str:
        self._raise_if_failed()
        return await self.js_response.text()

    async def string(self) -> str:
        return await self.text()

    @_aborts
    async def json(self, **kwargs: Any) -> Any:
        self._raise_if_failed()
        return json.loads(await self.js_response.text(), **kwargs)

    @_aborts
    async def memoryview(self) -> Any:
        self._raise_if_failed()
        return (await self.js_response.arrayBuffer()).to_memoryview()

    @_aborts
    async def bytes(self) -> Any:
        self._raise_if_failed()
        return (await self.js_response.arrayBuffer()).to_bytes()

    async def unpack_archive(self, *, extract_dir: str | None = None, format: str | None = None) -> None:
        """Unpack the body, an archive, into a folder (the current one by default)."""
        import shutil
        import tempfile

        data = await self.bytes()
        suffix = f".{format}" if format else "." + self.url.rsplit("/", 1)[-1].partition(".")[2]
        with tempfile.NamedTemporaryFile(suffix=suffix) as file:
            file.write(data)
            file.flush()
            shutil.unpack_archive(file.name, extract_dir, format)

    def abort(self, reason: Any = None) -> None:
        """Abort the request. Raises ValueError when it was made without a controller."""
        if self.abort_controller is None:
            raise ValueError("abort_controller is not set")
        self.abort_controller.abort(None if reason is None else JsException("AbortError", reason))


async def pyfetch(request: Any, /, *, signal: Any = None, fetcher: Any = None, **kwargs: Any) -> FetchResponse:
    """Fetch a URL or a JavaScript Request. Raises AbortError (an OSError) when no answer comes."""
    from ..js.abort import AbortController, AbortSignal
    from ..js.convert import object_from_entries, to_js
    from ..js.network import fetch
    from ..js.request import Request

    controller = AbortController.new()
    kwargs["signal"] = AbortSignal.any([signal, controller.signal]) if signal else controller.signal
    options = to_js(kwargs, dict_converter=object_from_entries)
    if not isinstance(request, JsProxy):
        request = Request.new(request, options)
        options = make_object({"signal": kwargs["signal"]})
    try:
        return FetchResponse(request, await (fetcher or fetch)(request, options), controller, kwargs["signal"])
    except asyncio.CancelledError:
        controller.abort()
        raise
    except JsException as error:
        raise AbortError(error) from None


def open_url(url: str) -> io.StringIO:
    """The text behind a URL, read while the caller waits."""
    from ...loop import run_sync

    async def read() -> str:
        return await (await pyfetch(url)).text()

    return io.StringIO(run_sync(read()))


for _error in (AbortError, BodyUsedError, HttpStatusError):
    _error.__module__ = "pyodide.http"  # what a traceback calls them

__all__ = ["AbortError", "BodyUsedError", "FetchResponse", "HttpStatusError", "open_url", "pyfetch"]
