"""A request puts a job into a queue; the queue's consumer does it later."""

from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        if request.method != "POST":
            return Response("POST a job as JSON: {'text': 'hello'}\n", status=405)
        job = await request.json()
        await self.env.JOBS.send(job)
        return Response.json({"queued": job}, status=202)

    async def queue(self, batch, env, ctx):
        for message in batch.messages:
            print(f"job {message.body['text']!r}, attempt {message.attempts}")
            message.ack()
