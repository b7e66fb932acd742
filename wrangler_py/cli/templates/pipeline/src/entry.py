"""Two steps with a queue before each: raw events are cleaned, clean ones are stored, each once however often it comes."""

from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        events = await request.json()
        await self.env.RAW.sendBatch([{"body": event} for event in events])
        return Response.json({"received": len(events)}, status=202)

    async def queue(self, batch, env, ctx):
        if batch.queue.endswith("-raw"):
            await self.clean(batch.messages)
        else:
            await self.store(batch.messages)

    async def clean(self, messages):
        clean = [{"id": m.body["id"], "name": m.body["name"].strip().lower()} for m in messages if m.body.get("name")]
        if clean:
            await self.env.CLEAN.sendBatch([{"body": event} for event in clean])

    async def store(self, messages):
        # A queue delivers at least once, so the same event may come twice.
        insert = self.env.DB.prepare("INSERT OR IGNORE INTO events (id, name) VALUES (?, ?)")
        await self.env.DB.batch([insert.bind(m.body["id"], m.body["name"]) for m in messages])
