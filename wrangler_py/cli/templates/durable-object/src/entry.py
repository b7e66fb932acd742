"""One counter for each name, each an object of its own with its own storage; idle ones forget after an hour."""

import time

from workers import DurableObject, Response, WorkerEntrypoint

FORGET_AFTER_MS = 3_600_000


class Counter(DurableObject):
    async def increment(self):
        count = (await self.ctx.storage.get("count") or 0) + 1
        await self.ctx.storage.put("count", count)
        await self.ctx.storage.setAlarm(int(time.time() * 1000) + FORGET_AFTER_MS)
        return count

    async def alarm(self):
        print("forgotten")
        await self.ctx.storage.deleteAll()


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        name = request.url.rsplit("/", 1)[1] or "world"
        counter = self.env.COUNTERS.getByName(name)
        return Response.json({"name": name, "count": await counter.increment()})
