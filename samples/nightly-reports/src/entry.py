"""Three crons, one handler: `controller.cron` says which of them it is."""

from datetime import UTC, datetime, timedelta

from reports import build, months_before
from workers import WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def scheduled(self, controller, env, ctx):
        # The planned minute and not the clock: a late or repeated run is about the same day.
        planned = datetime.fromtimestamp(controller.scheduledTime / 1000, UTC)
        match controller.cron:
            case "30 1 * * *":
                await self.queue_reports(planned.date() - timedelta(days=1))
            case "0 7 * * MON-FRI":
                print(f"good morning, it is {planned:%A}; the reports are in")
            case "0 3 1 * *":
                oldest = months_before(planned.date(), int(self.env.KEEP_MONTHS))
                print(f"archive: removed everything before {oldest:%B %Y}")
            case other:
                controller.noRetry()
                raise ValueError(f"nothing is planned for {other!r}")

    async def queue_reports(self, day):
        """One message for each team, so that one team's trouble is not another's."""
        teams = self.env.TEAMS.split(",")
        await self.env.REPORTS.sendBatch([{"body": {"team": team, "day": day.isoformat()}} for team in teams])
        print(f"queued the reports of {day}: {', '.join(teams)}")

    async def queue(self, batch, env, ctx):
        for message in batch.messages:
            print(build(message.body["team"], message.body["day"]))
        batch.ackAll()
