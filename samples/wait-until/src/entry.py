"""The answer goes out first. What its reader need not wait for comes after it, in waitUntil."""

import asyncio
import json
from urllib.parse import urlsplit

from workers import Response, WorkerEntrypoint, fetch


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        # Take what the log needs out of the request now: after the answer it is gone.
        entry = {"method": str(request.method), "path": urlsplit(request.url).path}
        self.ctx.waitUntil(self.log(entry))
        return Response("That was quick.\n")

    async def log(self, entry):
        """Hand an entry to the log service, however long that takes."""
        if self.env.LOG_URL:
            response = await fetch(self.env.LOG_URL, method="POST", body=json.dumps(entry))
            if not response.ok:
                raise OSError(f"the log service answers {response.status}")
        else:
            await asyncio.sleep(float(self.env.LOG_TAKES))
        print(f"logged {entry['method']} {entry['path']}")
