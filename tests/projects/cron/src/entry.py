from datetime import datetime

from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def scheduled(self, controller, env, ctx):
        print(f"Cron triggered: {controller.cron} at {datetime.fromtimestamp(controller.scheduledTime / 1000)}")

    async def fetch(self):
        return Response("Hello, World!")
