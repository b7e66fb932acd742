"""As much of the PNG format as a thumbnail's size needs (https://www.w3.org/TR/png/, 5.2 and 11.2.1)."""

import struct

SIGNATURE = b"\x89PNG\r\n\x1a\n"


class NotAPng(ValueError):
    """These bytes will never be an image, however often they are fetched."""


def png_size(data):
    """Width and height in pixels. Raises NotAPng."""
    if len(data) < 24 or data[:8] != SIGNATURE or data[12:16] != b"IHDR":
        raise NotAPng("no PNG header")
    width, height = struct.unpack(">II", data[16:24])
    if not width or not height:
        raise NotAPng("an image without pixels")
    return width, height
