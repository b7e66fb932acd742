"""Takes image jobs: checks them, queues them, answers 202. The consumer Worker does the work."""

from base64 import b64decode
from json import JSONDecodeError
from urllib.parse import urlsplit
from uuid import uuid4

from workers import Response, WorkerEntrypoint

#: 640 x 480, half black and half white: something to try the pipeline with when there is no network.
SAMPLE_PNG = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAoAAAAHgAQAAAAAdquFJAAAAoElEQVR42u3MMQEAAAwCIPuX3ir4+EEAcqW0hEKhUCgUCoVCoVAoFAqFQqFQKBQKhUKhUCgUCoVCoVAoFAqFQqFQKBQKhUKhUC"
    "gUCoVCoVAoFAqFQqFQKBQKhUKhUCgUCoVCoVAoFAqFQqFQKBQKhUKhUCgUCoVCoVAoFAqFQqFQKBQKhUKhUCgUCoVCoVAoFAqFQqFQKBQKhUKhUCjchw8+7LlX85I+8gAAAABJRU5ErkJggg=="
)


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        path = urlsplit(request.url).path
        if path == "/sample.png":
            return Response(SAMPLE_PNG, headers={"Content-Type": "image/png"})
        if path != "/images":
            return Response.json({"error": f"there is no {path}; POST a job to /images"}, status=404)
        if request.method != "POST":
            return Response.json({"error": "use POST"}, status=405, headers={"Allow": "POST"})
        try:
            job = check(await request.json())
        except JSONDecodeError:
            return Response.json({"error": "the body is not JSON"}, status=400)
        except ValueError as error:
            return Response.json({"error": str(error)}, status=400)
        await self.env.IMAGES.send(job)
        return Response.json(job, status=202)


def check(job):
    """The job as it is queued. Raises ValueError with a text for the client."""
    if not isinstance(job, dict):
        raise ValueError("send an object with a url and widths")
    url, widths = job.get("url"), job.get("widths", [64, 256])
    if not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https"):
        raise ValueError("url must be an http or https URL")
    if not isinstance(widths, list) or not 1 <= len(widths) <= 10:
        raise ValueError("widths must be a list of 1 to 10 numbers")
    if not all(type(width) is int and 1 <= width <= 4096 for width in widths):
        raise ValueError("each of widths must be a whole number from 1 to 4096")
    return {"id": uuid4().hex[:8], "url": url, "widths": widths}
