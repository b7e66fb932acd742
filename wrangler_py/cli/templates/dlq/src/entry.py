"""Mails that cannot be sent are tried again, later each time; what fails for good is a dead letter, and somebody is told."""

from workers import Response, WorkerEntrypoint, fetch

MAIL_API = "https://mail.example.com/send"


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        mail = await request.json()
        await self.env.MAIL.send(mail)
        return Response.json({"queued": mail["to"]}, status=202)

    async def queue(self, batch, env, ctx):
        dead = batch.queue.endswith("-dead")
        for message in batch.messages:
            if dead:
                print(f"ALERT: gave up on {message.body['to']}")
                message.ack()
            else:
                await self.deliver(message)

    async def deliver(self, message):
        try:
            sent = (await fetch(MAIL_API, method="POST", body=message.body["to"])).status == 200
        except OSError as error:  # no network, no such host
            print(f"{MAIL_API}: {error}")
            sent = False
        if sent:
            message.ack()
        else:
            message.retry(delaySeconds=10 * 2**message.attempts)
