from urllib.parse import urlparse

from workers import Response, WorkerEntrypoint, WorkflowEntrypoint


class Export(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("collect")
        async def collect():
            return [1, 2, 3]

        @step.do("add", depends=[collect])
        async def add(rows):
            return sum(rows)

        await step.sleep("a pause", "1 second")
        return {"total": await add(), "given": event["payload"]}


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        path = urlparse(request.url).path
        if path == "/create":
            instance = await self.env.EXPORT.create({"params": {"who": "me"}})
            return Response.json({"id": instance.id})
        instance = await self.env.EXPORT.get(path.rsplit("/", 1)[1])
        status = await instance.status()
        return Response.json({"status": status["status"], "output": status.get("output")})
