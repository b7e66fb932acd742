from urllib.parse import parse_qs, urlparse

from workers import DurableObject, Response, WorkerEntrypoint


class List(DurableObject):
    """A list of messages, kept in the object's storage."""

    async def get_messages(self):
        messages = await self.ctx.storage.get("messages")
        return messages if messages else []

    async def add_message(self, message):
        messages = await self.get_messages()
        messages.append(message)
        await self.ctx.storage.put("messages", messages)

    async def say_hello(self):
        result = self.ctx.storage.sql.exec("SELECT 'Hello, World!' as greeting").one()
        return result.greeting


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        url = urlparse(request.url)
        stub = self.env.LIST.getByName("A")
        if url.path == "/add":
            await stub.add_message(parse_qs(url.query)["message"][0])
            return Response("added")
        if url.path == "/hello":
            return Response(await stub.say_hello())
        return Response.json(await stub.get_messages())
