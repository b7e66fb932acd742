"""`pyodide.webloop`: the event loop's types."""

import asyncio

from ...loop import PyodideFuture, WebLoop


class PyodideTask(asyncio.Task):
    """For annotations and isinstance; tasks here are plain asyncio tasks."""


WebLoopPolicy = type(asyncio.get_event_loop_policy())

__all__ = ["PyodideFuture", "PyodideTask", "WebLoop", "WebLoopPolicy"]
