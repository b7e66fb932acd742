"""The sample from outside: both Workers in one session, real PNGs, HTTP and the session's output."""

import struct
import zlib

import pytest

BOTH = ("-c", "producer/wrangler.jsonc", "-c", "consumer/wrangler.jsonc")
PNG = {"Content-Type": "image/png"}


def png(width, height):
    """A picture whose left half is red and whose right half is blue."""
    row = b"\1" + b"\xff\0\0" + b"\0\0\0" * (width // 2 - 1) + b"\1\0\xff" + b"\0\0\0" * (width - width // 2 - 1)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(row * height))]
    chunks = (
        struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in [*parts, (b"IEND", b"")]
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.fixture
def server(wpy_dev, javascript):
    return wpy_dev(*BOTH)


def test_an_upload_is_answered_at_once_and_resized_by_the_other_worker(server):
    reply = server.post("/images?widths=32,16", body=png(128, 64), headers=PNG)
    assert reply.status == 202
    job = reply.json()
    assert job["widths"] == [32, 16]

    server.wait_for(rf"\[edge-resize\] queue resize \| {job['id']}: 128x64 becomes 32, 16 wide")
    server.wait_for("QUEUE resize 1/1")
    described = server.get(f"/images/{job['id']}").json()
    assert [file["name"] for file in described["files"]] == ["16.png", "32.png", "original.png"]
    assert described["files"][1]["height"] == "16"

    small = server.get(f"/images/{job['id']}/32")
    assert (small.status, small.headers["content-type"]) == (200, "image/png")
    assert struct.unpack(">II", small.body[16:24]) == (32, 16)
    pixels = zlib.decompress(small.body[small.body.index(b"IDAT") + 4 : -16])
    assert pixels[1:4] == b"\xff\0\0"  # red on the left
    assert pixels[32 * 3 - 2 : 32 * 3 + 1] == b"\0\0\xff"  # blue on the right

    # What is no image is told and not tried again; bad requests never get as far as the queue.
    broken = server.post("/images", body=b"no picture", headers=PNG).json()["id"]
    server.wait_for(f"{broken}: it is no PNG")
    server.wait_for("QUEUE resize 1/1", count=2)
    assert server.post("/images?widths=0", body=png(8, 8), headers=PNG).status == 400
    assert server.post("/images", body=b"text", headers={"Content-Type": "text/plain"}).status == 415
    assert server.get(f"/images/{broken}/64").status == 404
