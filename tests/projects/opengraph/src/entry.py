from urllib.parse import urlparse

from js import HTMLRewriter, Object
from pyodide.ffi import create_proxy
from workers import Response, WorkerEntrypoint, fetch

DATA = {
    "/blog/python-workers": {
        "title": "Python Workers & friends",
        "description": 'Say "hi" in Python',
        "image": "https://example.com/card.png",
    },
}


class ExistingTagRemover:
    """Open Graph tags of the page itself would win over ours."""

    def element(self, element):
        if element.getAttribute("property"):
            element.remove()


class MetaTagInjector:
    def __init__(self, data):
        self.data = data

    def element(self, element):
        for name in ("title", "description", "image"):
            content = self.data[name].replace("&", "&amp;").replace('"', "&quot;")
            tag = f'<meta property="og:{name}" content="{content}">'
            element.append(tag, Object.fromEntries({"html": True}.items()))


class TitleRewriter:
    def __init__(self, title):
        self.title = title

    def element(self, element):
        element.setInnerContent(self.title)


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        path = urlparse(request.url).path
        page = await fetch(self.env.ORIGIN + path)
        data = DATA.get(path)
        if data is None or "text/html" not in (page.headers.get("content-type") or ""):
            return page
        rewriter = HTMLRewriter.new()
        rewriter.on('meta[property^="og:"]', create_proxy(ExistingTagRemover()))
        rewriter.on("head", create_proxy(MetaTagInjector(data)))
        rewriter.on("title", create_proxy(TitleRewriter(data["title"])))
        rewritten = rewriter.transform(page.js_object)
        return Response(rewritten.body, status=rewritten.status, headers=rewritten.headers)
