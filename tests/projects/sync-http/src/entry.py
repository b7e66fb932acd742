import asyncio
import json
import urllib.request
from urllib.parse import urlparse

import aiohttp
import httpx
import requests
import urllib3
from js import fetch as js_fetch
from pyodide.http import pyfetch
from workers import Response, WorkerEntrypoint, fetch


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        url = self.env.ORIGIN + "/json"
        how = urlparse(request.url).path.lstrip("/")
        return Response.json(await getattr(self, "with_" + how.replace("-", "_"))(url))

    async def with_requests(self, url):
        return requests.get(url, timeout=10).json()

    async def with_requests_session(self, url):
        with requests.Session() as session:
            session.headers["X-Sent"] = "yes"
            return session.post(url, json={"a": 1}).json()

    async def with_urllib3(self, url):
        return urllib3.PoolManager().request("GET", url).json()

    async def with_urllib(self, url):
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)

    async def with_httpx(self, url):
        return httpx.get(url).json()

    async def with_httpx_async(self, url):
        async with httpx.AsyncClient() as client:
            first, second = await asyncio.gather(client.get(url), client.post(url, content=b"body"))
            return [first.json(), second.json()]

    async def with_aiohttp(self, url):
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return await answer.json()

    async def with_workers(self, url):
        return await (await fetch(url)).json()

    async def with_pyfetch(self, url):
        return await (await pyfetch(url, method="POST", body="body")).json()

    async def with_js(self, url):
        return (await (await js_fetch(url)).json()).to_py()
