"""WebSockets: a chatroom with hibernation, plain pairs, sockets that a Worker opens, ASGI; with real clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dev_server import DevServer
from session_project import Project
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

CONFIG = """
    [[durable_objects.bindings]]
    name = "ROOMS"
    class_name = "Room"
    [[migrations]]
    tag = "v1"
    new_sqlite_classes = ["Room"]
"""

CODE = '''
import asyncio
import js
from js import WebSocket, WebSocketPair, WebSocketRequestResponsePair
from workers import DurableObject, Response, WorkerEntrypoint

class Room(DurableObject):
    """A chatroom that sleeps between messages."""
    def __init__(self, ctx, env):
        super().__init__(ctx, env)
        ctx.setWebSocketAutoResponse(WebSocketRequestResponsePair.new("ping", "pong"))
    async def fetch(self, request):
        client, server = WebSocketPair.new().object_values()
        name = request.url.split("name=")[1]
        self.ctx.acceptWebSocket(server, [name, "guest"])
        server.serializeAttachment(name)
        self.broadcast(f"{name} joined {len(self.ctx.getWebSockets('guest'))}")
        return Response(None, status=101, web_socket=client)
    def broadcast(self, text):
        for socket in self.ctx.getWebSockets():
            socket.send(text)
    async def webSocketMessage(self, ws, message):
        if not isinstance(message, str):
            ws.send(bytes(message)[::-1])
        elif message == "boom":
            raise ValueError("in the handler")
        else:
            count = (await self.ctx.storage.get("count") or 0) + 1
            await self.ctx.storage.put("count", count)
            self.broadcast(f"{ws.deserializeAttachment()}: {message} ({count})")
    async def webSocketClose(self, ws, code, reason, was_clean):
        print("closed", ws.deserializeAttachment(), code, reason, was_clean, list(self.ctx.getTags(ws)))
        self.broadcast(f"{ws.deserializeAttachment()} left")

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        path = request.url.split("/")[3].split("?")[0]
        if path == "room":
            return await self.env.ROOMS.getByName("lobby").fetch(request.js_object)
        if path == "echo":
            client, server = WebSocketPair.new().object_values()
            server.accept()
            def message(event):
                if event.data == "bye":
                    server.close(4001, "told so")
                else:
                    server.send("echo " + event.data)
            server.addEventListener("message", message)
            server.addEventListener("close", lambda event: print("echo closed", event.code, event.reason))
            return Response(None, status=101, web_socket=client, headers={"x-worker": "yes"})
        if path == "out":
            return Response.json(await self.out(request.url.split("/out")[0]))
        return Response("no socket here", status=426)
    async def out(self, base):
        loop = asyncio.get_running_loop()
        first, second = loop.create_future(), loop.create_future()
        made = WebSocket.new(base.replace("http", "ws", 1) + "/echo")
        made.addEventListener("open", lambda event: made.send("one"))
        made.addEventListener("message", lambda event: first.set_result(event.data))
        answer = await js.fetch(base + "/echo", headers=js.Headers.new({"Upgrade": "websocket"}.items()))
        socket = answer.webSocket
        socket.accept()
        socket.addEventListener("message", lambda event: second.set_result(event.data))
        socket.send("two")
        found = [await first, await second, answer.status]
        made.close(1000, "done")
        socket.close()
        refused = await js.fetch(base + "/none", headers=js.Headers.new({"Upgrade": "websocket"}.items()))
        return [*found, refused.status]
'''


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    project = Project(tmp_path_factory.mktemp("sockets"))
    project.config(CONFIG)
    project.write("src/entry.py", CODE)
    with project.server("--no-cron") as running:
        yield running


def client(server: DevServer, path: str) -> ClientConnection:
    return connect(server.url.replace("http", "ws", 1) + path, open_timeout=10, close_timeout=5)


def test_a_chatroom_with_hibernating_sockets(server: DevServer) -> None:
    with client(server, "/room?name=ada") as ada:
        assert ada.recv(5) == "ada joined 1"
        with client(server, "/room?name=bob") as bob:
            assert ada.recv(5) == bob.recv(5) == "bob joined 2"
            ada.send("hello")
            assert ada.recv(5) == bob.recv(5) == "ada: hello (1)"
            bob.send(b"abc")
            assert bob.recv(5) == b"cba"
            bob.send("ping")
            assert bob.recv(5) == "pong"
            bob.send("boom")
            server.wait_for("ValueError: in the handler")
            bob.send("x" * 100_000)
            assert bob.recv(5) == f"bob: {'x' * 100_000} (2)"
            assert ada.recv(5) is not None
            bob.close(4000, "off")
        assert ada.recv(5) == "bob left"
    server.wait_for(r"closed bob 4000 off True \['bob', 'guest'\]")


def test_pairs_and_answers_that_are_no_sockets(server: DevServer) -> None:
    with client(server, "/echo") as echo:
        assert echo.response is not None and echo.response.headers["x-worker"] == "yes"
        echo.send("a")
        assert echo.recv(5) == "echo a"
        echo.send("bye")
        with pytest.raises(ConnectionClosed) as closed:
            echo.recv(5)
        assert closed.value.rcvd is not None and (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "told so")
    server.wait_for("echo closed 4001 told so")
    with pytest.raises(InvalidStatus) as refused:
        client(server, "/none")
    assert refused.value.response.status_code == 426 and refused.value.response.body == b"no socket here"
    assert "without completing handshake" not in server.output


def test_sockets_that_a_worker_opens(server: DevServer) -> None:
    assert server.get("/out").json() == ["echo one", "echo two", 101, 426]


def test_a_reload_ends_the_sockets_of_the_old_version(project: Project) -> None:
    project.config(CONFIG)
    project.write("src/entry.py", CODE)
    with project.server("--no-cron") as server, client(server, "/room?name=ada") as ada:
        assert ada.recv(5) == "ada joined 1"
        project.write("src/entry.py", CODE.replace("joined", "came"))
        server.wait_for(r"[Rr]eloaded")
        with pytest.raises(ConnectionClosed) as closed:
            ada.recv(5)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012
        with client(server, "/room?name=bob") as bob:
            assert bob.recv(5) == "bob came 1"


def test_asgi(project: Project) -> None:
    pytest.importorskip("fastapi")
    project.config()
    project.write(
        "src/entry.py",
        """
        from fastapi import FastAPI, WebSocket
        from workers import asgi
        app = FastAPI()
        @app.websocket("/ws")
        async def talk(socket: WebSocket):
            await socket.accept()
            while (text := await socket.receive_text()) != "end":
                await socket.send_text("got " + text)
            await socket.send_bytes(b"bye")
            await socket.close(3000)
        Default = asgi.entrypoint(app)
        """,
    )
    with project.server("--no-cron") as server, client(server, "/ws") as socket:
        socket.send("x")
        assert socket.recv(5) == "got x"
        socket.send("end")
        assert socket.recv(5) == b"bye"
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(5)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 3000
