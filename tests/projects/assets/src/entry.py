from urllib.parse import urlparse

from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        url = urlparse(request.url)
        if url.path == "/page":
            return Response("<h1>From the Worker</h1>", headers={"content-type": "text/html"})
        if url.path.startswith("/through/"):
            return await self.env.ASSETS.fetch(request.url.replace("/through", ""))
        return Response("Not Found", status=404)
