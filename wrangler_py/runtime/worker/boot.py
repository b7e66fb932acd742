"""From an interpreter that just started to one that waits for LOAD, as fast as that goes.

Order: this package and the shims, the loop, the SDK, HELLO. What only an event needs is imported after HELLO, a module
for each turn of the loop, so that a LOAD that is there already does not wait.

Environment: WPY_PRELOAD, a JSON list of modules to import before HELLO; it is a hint, so one that fails is passed over
(it will fail again, and be reported, when the user's code imports it). WPY_SDK, a folder that holds `workers/`, for an
interpreter that has no SDK of its own.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import signal
import sys
import traceback
from typing import NoReturn


def run(target: str) -> NoReturn:
    """Serve the server at the other end of `target` (see connection.connect) until it goes away."""
    # Ctrl-C in a terminal reaches the server as well, which ends this process. Not SIG_IGN: processes that user code
    # starts would inherit it.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # runtime/python/spawn.py holds it back
    faulthandler.enable(2)
    # Bytecode of the user's files is never written: a quick edit of the same size would import the old code. That of
    # this package and of the SDK may be; they do not change while they are used.
    dont_write, sys.dont_write_bytecode = sys.dont_write_bytecode, False
    from . import connection, loop

    sock = connection.connect(target)
    hub = loop.install()
    link = connection.Connection(sock, hub)
    _keep_last_words(link)
    try:
        _serve(hub, link, dont_write)
    except BaseException:
        from . import frames

        link.send_now(frames.FATAL, traceback.format_exc())
        link.flush_all()
        os._exit(1)


def _keep_last_words(link) -> None:
    """os._exit sends what was printed before it, which is what one needs to see."""
    leave = os._exit

    def _exit(status: int) -> NoReturn:
        link.flush_all()
        leave(status)

    os._exit = _exit


def _serve(hub, link, dont_write: bool) -> NoReturn:
    from . import frames, logs
    from .shims import install

    helper, flags = install.install()
    from . import dispatch, loader, patches

    patches.install()
    sdk = None
    try:
        sdk = loader.import_sdk()
    except ImportError as error:
        problem = str(error)
    else:
        problem = ""
    sys.dont_write_bytecode = dont_write
    logs.install(link)
    patches.install_breakpoint(hub, link)
    before = dict(sys.modules)
    for name in json.loads(os.environ.get("WPY_PRELOAD") or "[]"):
        try:
            importlib.import_module(name)
        except Exception:  # a hint, see above
            continue
    dispatcher = dispatch.Dispatcher(hub, link, helper, flags, problem, before)
    link.on_frame = dispatcher.on_frame
    version = ".".join(map(str, sys.version_info[:3]))
    link.send(frames.HELLO, {"pid": os.getpid(), "python": version, "sdk": sdk})
    link.start()
    hub.call_soon(_import_rest, hub, list(_LATER), dont_write)
    hub.serve()
    raise AssertionError("the loop ended")


#: What the first event will need.
_JS = ("headers", "streams", "blob", "url", "body", "request", "response", "abort", "jsjson", "dates", "objects")
_LATER = (*(f"shims.js.{name}" for name in _JS), "parity", "handlers", "env", "events", "rpc")


def _import_rest(hub, names: list[str], dont_write: bool) -> None:
    sys.dont_write_bytecode = False
    try:
        importlib.import_module(f"{__package__}.{names.pop(0)}")
    finally:
        sys.dont_write_bytecode = dont_write
    if names:
        hub.call_soon(_import_rest, hub, names, dont_write)
