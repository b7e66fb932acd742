"""A sign-up is answered at once; its emails go out in the background, again and again until they arrive."""

from json import JSONDecodeError
from urllib.parse import urlsplit

from mailer import send_email
from workers import Response, WorkerEntrypoint

HELP = """Sign somebody up:       curl HOST/signup -d '{"email": "ada@example.com"}'
An address that fails:  curl HOST/signup -d '{"email": "bob@nowhere.invalid"}'
"""


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        url = urlsplit(request.url)
        if url.path != "/signup":
            return Response(HELP.replace("HOST", url.netloc))
        if request.method != "POST":
            return Response("Use POST.\n", status=405, headers={"Allow": "POST"})
        try:
            to = (await request.json())["email"]
        except (JSONDecodeError, TypeError, KeyError):
            return Response('Send JSON such as {"email": "ada@example.com"}.\n', status=400)
        if not isinstance(to, str) or "@" not in to:
            return Response(f"{to!r} is not an email address.\n", status=400)

        # Stored when this returns; sent in the background.
        await self.env.EMAILS.send({"type": "welcome", "to": to})
        return Response.json({"queued": "welcome", "to": to}, status=202)

    async def scheduled(self, controller, env, ctx):
        await self.env.EMAILS.send({"type": "digest", "to": "team@example.com"})
        print("queued the digest")

    # Cloudflare passes env and ctx to queue() and scheduled() and leaves both None: use self.env and self.ctx.
    async def queue(self, batch, env, ctx):
        for message in batch.messages:
            if batch.queue == "emails-dead":
                self.alert(message)
            else:
                await self.deliver(message)

    async def deliver(self, message):
        job = message.body
        try:
            match job["type"]:
                case "welcome":
                    await send_email(job["to"], "Welcome aboard!")
                    after = int(self.env.TIPS_AFTER)
                    await self.env.EMAILS.send({"type": "tips", "to": job["to"]}, delaySeconds=after)
                case "tips":
                    await send_email(job["to"], "Three tips to get going")
                case "digest":
                    await send_email(job["to"], "What happened in the last minute")
                case other:
                    raise ValueError(f"there is no email of type {other!r}")
        except Exception as error:
            print(f"attempt {message.attempts} failed: {error}")
            message.retry(delaySeconds=int(self.env.BACKOFF_BASE) * 2**message.attempts)
        else:
            message.ack()

    def alert(self, message):
        """Dead letters come here. In production: call your pager, write to your chat."""
        print(f"ALERT: gave up on {message.body}, sent at {message.timestamp:%H:%M:%S}")
