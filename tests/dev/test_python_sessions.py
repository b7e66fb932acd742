"""Python Workers in a session, as a client and a person at the terminal see them."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest
from session_project import Project

BROKEN_STREAM = """
    import asyncio
    import js
    from workers import Response, WorkerEntrypoint

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            async def start(controller):
                controller.enqueue(js.TextEncoder.new().encode("first"))
                await asyncio.sleep(0.01)
                if request.url.endswith("/broken"):
                    raise ValueError("midway")
                controller.close()
            return Response(js.ReadableStream.new(start=start))
"""


def test_a_stream_that_fails_midway_does_not_end_like_a_whole_one(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.config()
    project.code(BROKEN_STREAM)
    with project.server() as server:
        assert server.get("/whole").text == "first"
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
        connection.request("GET", "/broken")
        with pytest.raises(http.client.IncompleteRead) as caught:
            connection.getresponse().read()
        assert caught.value.partial == b"first"
        server.wait_for(r"ValueError: midway")
        assert server.get("/whole").text == "first"
        assert not server.find(r"Exception in ASGI application")
