import json
from urllib.parse import urlparse

from js import WebSocketPair
from workers import DurableObject, Response, WorkerEntrypoint


class ChatRoom(DurableObject):
    def __init__(self, ctx, env):
        super().__init__(ctx, env)
        self.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS said (id INTEGER PRIMARY KEY, who TEXT, what TEXT)")

    async def fetch(self, request):
        client, server = WebSocketPair.new().object_values()
        self.ctx.acceptWebSocket(server)
        rows = self.ctx.storage.sql.exec("SELECT who, what FROM said ORDER BY id").toArray()
        server.send(json.dumps({"history": [[row.who, row.what] for row in rows]}))
        return Response(None, status=101, web_socket=client)

    async def webSocketMessage(self, ws, message):
        said = json.loads(message)
        self.ctx.storage.sql.exec("INSERT INTO said (who, what) VALUES (?, ?)", said["who"], said["what"])
        for socket in self.ctx.getWebSockets():
            socket.send(message)

    async def webSocketClose(self, ws, code, reason, was_clean):
        ws.close(code, reason)


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        path = urlparse(request.url).path
        if path.startswith("/room/"):
            if request.headers.get("Upgrade") != "websocket":
                return Response("Expected a WebSocket", status=426)
            room = self.env.ROOM.get(self.env.ROOM.idFromName(path.removeprefix("/room/")))
            return await room.fetch(request.js_object)
        return Response("Chat", headers={"content-type": "text/html"})
