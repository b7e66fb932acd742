"""The HTTP server of a session: uvicorn on a socket that is already bound, inside the session's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import logging
import socket
import sys
from types import ModuleType
from typing import Any, cast

from wrangler_py.runtime.base import StreamBroken

_COMMAND_LINE = "uvicorn.main"


def _import_uvicorn() -> tuple[Any, Any]:
    """uvicorn's Config and Server without its command line, which the package imports too: that takes longer than all the
    rest (its options, multiprocessing, watchfiles). Whoever asks the package for `run` or `main` later gets the real ones."""
    if "uvicorn" not in sys.modules:
        stand_in: Any = ModuleType(_COMMAND_LINE)
        stand_in.Server = stand_in.main = stand_in.run = None
        sys.modules[_COMMAND_LINE] = stand_in
        try:
            package: Any = importlib.import_module("uvicorn")
        finally:
            del sys.modules[_COMMAND_LINE]
        del package.Server, package.main, package.run
        package.__getattr__ = lambda name: getattr(importlib.import_module(_COMMAND_LINE), name)
    from uvicorn.config import Config
    from uvicorn.server import Server

    return Config, Server


_Config, _Server = _import_uvicorn()

#: How long open connections may take to finish when the session ends (seconds).
_CLOSE_S = 0.5


#: Bytes of a WebSocket message at most (docs: Workers, WebSockets).
MAX_MESSAGE = 32 * 1024 * 1024


def _websocket_protocol(**options: Any) -> Any:
    """uvicorn's protocol of a WebSocket; imported with the first one, because that takes its time."""
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

    return WebSocketsSansIOProtocol(**options)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether the server's own word of a failure says more than the session has said: not that a stream broke."""
    return not (record.exc_info and isinstance(record.exc_info[1], StreamBroken))


class HttpServer:
    """Serves one ASGI application on one socket."""

    def __init__(self, app: Any, sock: socket.socket) -> None:
        config = _Config(
            app,
            http="httptools" if importlib.util.find_spec("httptools") else "h11",
            ws=cast(Any, _websocket_protocol),
            ws_max_size=MAX_MESSAGE,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
            backlog=2048,
        )
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        self._server = _Server(config)
        self._config = config
        self._sock = sock

    async def start(self) -> None:
        """Accept connections from now on."""
        # Server.serve() would install signal handlers and wake up ten times a second for statistics that wpy does not
        # use; the two halves of it that matter are called here.
        self._config.load()
        self._server.lifespan = self._config.lifespan_class(self._config)
        await self._server.startup(sockets=[self._sock])

    async def stop(self) -> None:
        """Stop accepting; give running answers a moment, then cut them."""
        server = self._server
        for acceptor in server.servers:
            acceptor.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
        deadline = asyncio.get_running_loop().time() + _CLOSE_S
        while server.server_state.connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        for connection in list(server.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
        with contextlib.suppress(OSError):
            self._sock.close()
