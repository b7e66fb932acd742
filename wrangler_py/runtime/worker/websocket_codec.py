"""WebSocket frames (RFC 6455) for the client's side: what is sent is masked, what comes is not. No extensions."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
#: A message larger than this is refused (bytes; Workers take 32 MiB since 2025).
MAX_MESSAGE = 32 * 1024 * 1024


class ProtocolError(Exception):
    """The other side broke the protocol; `code` is the close code for it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def encode(opcode: int, data: bytes) -> bytes:
    """One whole message or control frame, masked."""
    size = len(data)
    head = bytes((0x80 | opcode,))
    if size < 126:
        head += bytes((0x80 | size,))
    elif size < 65536:
        head += bytes((0x80 | 126,)) + struct.pack(">H", size)
    else:
        head += bytes((0x80 | 127,)) + struct.pack(">Q", size)
    mask = os.urandom(4)
    return head + mask + apply_mask(data, mask)


def apply_mask(data: bytes, mask: bytes) -> bytes:
    if not data:
        return b""
    repeated = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")).to_bytes(len(data), "little")


class Decoder:
    """Cuts bytes into messages and control frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._parts: list[bytes] = []
        self._opcode = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(opcode, content) of what is complete. Raises ProtocolError."""
        self._buffer += data
        while (frame := self._next()) is not None:
            final, opcode, content = frame
            if opcode >= 8:
                yield opcode, content
                continue
            if opcode:
                if self._parts:
                    raise ProtocolError(1002, "a message began inside of another")
                self._opcode = opcode
            elif not self._opcode:
                raise ProtocolError(1002, "a continuation without a beginning")
            self._parts.append(content)
            if sum(map(len, self._parts)) > MAX_MESSAGE:
                raise ProtocolError(1009, "the message is too large")
            if final:
                whole, kind = b"".join(self._parts), self._opcode
                self._parts, self._opcode = [], 0
                yield kind, whole

    def _next(self) -> tuple[bool, int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        if first & 0x70:
            raise ProtocolError(1002, "reserved bits are set")
        size, at = second & 0x7F, 2
        if size == 126:
            if len(buffer) < 4:
                return None
            (size,), at = struct.unpack_from(">H", buffer, 2), 4
        elif size == 127:
            if len(buffer) < 10:
                return None
            (size,), at = struct.unpack_from(">Q", buffer, 2), 10
        if size > MAX_MESSAGE:
            raise ProtocolError(1009, "the message is too large")
        mask = b""
        if second & 0x80:
            mask, at = bytes(buffer[at : at + 4]), at + 4
        if len(buffer) < at + size:
            return None
        content = bytes(buffer[at : at + size])
        del buffer[: at + size]
        return bool(first & 0x80), first & 0x0F, apply_mask(content, mask) if mask else content
