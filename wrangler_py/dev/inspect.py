"""`wpy dev --inspect`: a Python debugger attaches to the session and is handed every worker process that it starts.

debugpy listens in the server's process and sees to it that child processes join: an editor that is attached once (VS Code:
`"request": "attach", "connect": {"port": 5678}`) gets a debug session for each worker, reloads included.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

#: How often to look whether a debugger has attached (seconds).
_LOOK_S = 0.5

NO_DEBUGPY = (
    "--inspect needs debugpy, which is not installed in wpy's environment. "
    'Install it: pip install "wrangler_py[inspect]"'
)


class InspectError(Exception):
    """No debugger can attach; the text says why and what to do."""


def listen_for_debugger(port: int) -> int:
    """Listen on 127.0.0.1 and return the port. Must come before the first worker process. Raises InspectError."""
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # or it warns in every worker of frozen modules
    try:
        import debugpy  # noqa: T100
    except ImportError as error:
        raise InspectError(NO_DEBUGPY) from error
    try:
        _, listening = debugpy.listen(("127.0.0.1", port))  # noqa: T100
    except (RuntimeError, OSError) as error:
        raise InspectError(
            f"--inspect: nothing can listen on port {port}: {error}. Choose another with --inspect=PORT"
        ) from error
    return int(listening)


async def on_attach(call: Callable[[], Awaitable[None]]) -> None:
    """Call `call` whenever a debugger has attached: processes that were there before have to be replaced to join."""
    import asyncio

    import debugpy  # noqa: T100

    attached = False
    while True:
        await asyncio.sleep(_LOOK_S)
        now = debugpy.is_client_connected()
        if now and not attached:
            await call()
        attached = now
