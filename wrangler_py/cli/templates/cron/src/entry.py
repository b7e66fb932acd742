"""At six o'clock on working days a report is made; a request shows the latest one."""

from datetime import UTC, datetime

from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def scheduled(self, controller, env, ctx):
        day = datetime.fromtimestamp(controller.scheduledTime / 1000, UTC).date()
        await self.env.REPORTS.put("latest", f"report of {day}")

    async def fetch(self, request):
        report = await self.env.REPORTS.get("latest")
        return Response(report or "no report yet", status=200 if report else 404)
