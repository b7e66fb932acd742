"""Works on the images that the producer queued, the whole batch at a time."""

import asyncio

from png import NotAPng, png_size
from workers import WorkerEntrypoint, fetch


class Default(WorkerEntrypoint):
    async def queue(self, batch, env, ctx):
        await asyncio.gather(*(self.work(message) for message in batch.messages))

    async def work(self, message):
        """One image. What may work later is retried, what never will is acknowledged."""
        job = message.body
        try:
            response = await fetch(job["url"])
        except OSError as error:
            print(f"{job['id']}: cannot reach {job['url']}: {error}")
            message.retry()
            return
        if response.status in (408, 429) or response.status >= 500:
            print(f"{job['id']}: {job['url']} answers {response.status} for now")
            message.retry()
            return
        try:
            if response.status != 200:
                raise NotAPng(f"status {response.status}")
            width, height = png_size(await response.bytes())
        except NotAPng as error:
            print(f"{job['id']}: no image at {job['url']} ({error}), given up")
        else:
            # In production: scale it, and put the results into R2.
            sizes = [f"{wanted}x{round(height * wanted / width)}" for wanted in job["widths"]]
            print(f"{job['id']}: {width}x{height} becomes {', '.join(sizes)}")
        message.ack()
