from io import BytesIO
from urllib.parse import parse_qs, urlparse

from PIL import Image, ImageDraw
from pyodide.ffi import to_js
from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        url = urlparse(request.url)
        query = parse_qs(url.query)
        text = query.get("text", ["Hello"])[0]
        image = Image.new("RGB", (240, 80), "white")
        draw = ImageDraw.Draw(image)
        draw.rectangle((4, 4, 235, 75), outline="orange", width=3)
        draw.text((20, 30), text, fill="black")
        buffer = BytesIO()
        image.save(buffer, format="PNG")
        if url.path == "/buffer":
            return Response(to_js(buffer.getvalue()).buffer, headers={"content-type": "image/png"})
        return Response(buffer.getvalue(), headers={"content-type": "image/png", "cache-control": "max-age=60"})
