"""Frames: what the server and a Python worker's process say to each other, over one stream socket.

This file is used by both sides (the server imports it as `wrangler_py.runtime.worker.frames`, the worker process
as the top-level module `_wpy_worker.frames`), so it uses the standard library only.

A frame is a 4-byte little-endian length and that many bytes of `marshal` (format 4, which every CPython from 3.4
reads alike): a tuple whose first item is the frame's kind. marshal is chosen for its speed with bytes; both ends are
processes of the same user on the same machine, and nobody else can write to the socket.

Ids: `event` numbers are given by the server, one for each fetch/queue/scheduled; `call` numbers are given by the
worker, one for each binding call that waits for an answer.

Server to worker:

    (LOAD, spec)                          spec: dict, see LOAD below; answered by LOADED or LOAD_FAILED
    (FETCH, event, method, url, headers, body, more, cf[, target])
                                          target: whose fetch, see RPC; None or absent: the default entrypoint's. headers: list of (str, str); body: bytes or None; more: True when BODY follows;
                                          cf: the dict as marshal packs it (few Workers look at it, and it is larger than the rest), or b""
    (BODY, event, chunk, more)            the rest of a request's body
    (QUEUE, event, queue, messages, metrics)
                                          messages: list of (id, timestamp_ms, attempts, content_type, body bytes);
                                          metrics: (backlog_count, backlog_bytes, oldest_timestamp_ms or None)
    (SCHEDULED, event, cron, time_ms)
    (RPC, event, target, path, args)      call `path` of `target`, or read it when args is None. target: ("entrypoint", class
                                          name, props) or ("stub", number); path: a tuple of names, () for a stub that is a
                                          function; args: a list of wire values (rpc_values.py). RESULT has "value" then
    (CLOCK, now_ms, ahead_ms)             only with "worker_clock": what the session's clock shows (ms since the epoch), and how
                                          far it runs ahead of the wall clock (ms; None: it stands still). Before LOAD, before
                                          an event, and when the clock was frozen, moved or set running
    (CANCEL, event)                       the client of a FETCH went away; nobody reads its answer any more. Of a QUEUE: it has run
                                          for too long; RETURNED says what it has settled so far
    (REPLY, call, value)                  the answer to a CALL
    (THROW, call, name, message)          a CALL failed: raise a JsException of that JS error name and message
    (OBJECTS, open)                       the worker's Durable Objects are this process's from now on; or (False) it lets go of
                                          them. Answered by OBJECTS_ARE
    (SOCKET, event, "message", data) (SOCKET, event, "close", code, reason, clean)
                                          what the client of a WebSocket does that a FETCH was answered with; data: str or bytes
    (STORED, answers)                     sends of SENT that are stored: a list of (number, backlog_count, backlog_bytes,
                                          oldest_timestamp_ms or None), each the queue's backlog with that send in it
    (REFUSED, number, name, message, later)
                                          one could not be stored, with the error as in THROW; later: it is tried again, and until
                                          STORED says that it is stored, sends are to be made by CALL
    (STOP,)                               end at once with exit code 0

Worker to server:

    (HELLO, info)                         info: {"pid", "python": "3.11.7", "sdk": "1.9.5" or None}; sent once, when a LOAD
                                          can be taken; also after the modules of a preload list were imported
    (LOADED, info)                        info: {"handlers": ["fetch", "queue", "scheduled"], "modules": [names to preload
                                          next time], "files": [user source files imported], "warnings": [text, ...],
                                          "parity": [text, ...], what Cloudflare would refuse of what ran}
    (LOAD_FAILED, text, info)             text: the traceback, beginning at the user's frame; info as far as it is known
    (RESPONSE, event, status, headers, body, more)
                                          the answer to FETCH; more: True when CHUNK follows
    (CHUNK, event, chunk, more[, whole])  whole: False with the last one when the stream failed or was cancelled; what came
                                          before is then not all, and the client must not take it for that
    (RETURNED, event, result)             the handler itself is finished (its waitUntil work, and the rest of a streamed
                                          answer, may go on). result: a dict, see RESULT below. Left out for a queue,
                                          scheduled or RPC event that ends with its handler
    (DONE, event, result)                 the event is over, waitUntil work included. Exactly one for every event, the last
                                          frame of it.
    (LOG, event, level, text)             one or more whole lines the worker printed, newlines between them and none at
                                          the end; event: 0 outside of an event; level: "log", "error", "warn", "info", "debug" ("log" for stdout, "error" for
                                          stderr and tracebacks)
    (CALL, call, event, binding, method, args)
                                          a call of env.<binding>. For a queue: method "send" with
                                          args (messages, delay_seconds or None, is_batch), messages: list of
                                          (body bytes, content_type, delay_seconds or None); or "metrics" with ().
                                          REPLY value: (backlog_count, backlog_bytes, oldest_timestamp_ms or None).
                                          With the binding "" it is for the session, see SESSION CALLS below
    (SENT, number, event, queue, messages, delay_seconds, is_batch)
                                          a send that the process's outbox file keeps (outbox.py), which consists of just these
                                          frames; the numbers are those of calls, and grow. Answered by STORED or REFUSED
    (FATAL, text)                         the process is about to end by itself
    (WAITING, due_ms, frames_taken, besides)
                                          only while the clock of CLOCK stands: nothing is left to do. due_ms: when the next
                                          timer is due, or None; frames_taken: since LOAD; besides: what else is waited for,
                                          "threads", "sockets" or "". Not sent while a CALL is unanswered
    (DEBUG, event, begins, where)         a prompt of pdb appears on the terminal (True), or is gone (False): time stands still
    (BLOCKED, event, seconds, where)      the event loop has not turned for `seconds`; where: "src/entry.py:12 in queue"

    (OBJECTS_ARE, state, alarms)          state: "open" (alarms: all of them), "closed" (none), "alarms" (those that have moved);
                                          an alarm is (class, id, name or None, time_ms, due_ms), both None when it is gone:
                                          as the user has set it, and on the session's clock
    (SOCKET, event, "message", data) (SOCKET, event, "close", code, reason)
                                          for the client of a WebSocket. The RESPONSE that handed it out has the status 101

LOAD's spec: {"main": path, "root": project folder, "name": worker name, "compatibility_date": str or None,
"compatibility_flags": [str], "flags": {compat flag name with underscores: bool} (already decided by the server),
"vars": {name: JSON value}, "secrets": {name: str}, "bindings": {name: {"kind": "queue", "queue": name} or a spec of another
kind (runtime/python/binding_specs.py)}}. With
"worker_clock": True the worker's own clock follows CLOCK, and LOADED's info says under "worker_clock" whether it can.

"outbox", when it is there: {"path": a file for SENT frames, "max_message" and "max_batch": bytes, "max_count": messages,
"max_delay": seconds}, the limits within which a send need not be asked for.

"origin" is the process's number, which its stubs carry.

SESSION CALLS, by method, with args and REPLY value:

    "invoke" (worker, target, path, args)     a method of an entrypoint or object of `worker` (None: its own): (True, wire value)
                                              or (False, wire error)
    "fetch" (worker, target, method, url, headers, body, cf)
                                              body: None, bytes or a ("stream", ...) wire value: (True, status, headers, first
                                              bytes, number of a stream or 0), or (False, wire error)
    "rpc" (origin, number, path, args)        a stub that the process `origin` keeps: as "invoke"
    "retain", "release" (origin, number)      a stub has one holder more, or less: None
    "read" (stream,)                          the next bytes of a stream that a REPLY named, b"" at its end
    "cache" (operation, cache, url, ...)      the Cache API: "match" -> (status, headers, body) or None, "put" -> None,
                                              "delete" -> bool
    "unread" (stream,)                        nobody reads it any more: None

RESULT: {"outcome": str, "error": str or None} and for QUEUE also {"ack_all": bool, "retry_all": None or (delay or None,),
"acks": [id], "retries": {id: delay or None}, "calls": {id or "*": (call, "file:line" or None)},
"ignored": [(id or "*", call, earlier call that stands, "file:line" or None)],
"busy": for which share of the handler's time, 0 to 1, the loop did not wait for anything}, for SCHEDULED
also {"no_retry": bool, "handler": bool}; for RPC also {"value": wire value}; for RPC and FETCH that failed also
{"thrown": wire error}, what another Worker gets; for FETCH {"outcome", "error"} where error is the text that a client sees with
a 500 when no RESPONSE was sent before.
"""

from __future__ import annotations

import marshal
import struct
from typing import Any

LOAD, FETCH, BODY, QUEUE, SCHEDULED, CANCEL, REPLY, THROW, STOP, CLOCK, RPC, OBJECTS, SOCKET, STORED, REFUSED = range(
    1, 16
)
HELLO, LOADED, LOAD_FAILED, RESPONSE, CHUNK, RETURNED, DONE, LOG, CALL, FATAL, BLOCKED, WAITING, OBJECTS_ARE = range(
    20, 33
)
DEBUG, SENT = 33, 34

#: A frame larger than this is a broken stream, not a message (bytes).
MAX_FRAME = 1 << 30

_HEADER = struct.Struct("<I")
_VERSION = 4


def encode(*frame: Any) -> bytes:
    """One frame as bytes. Raises ValueError for a value that marshal cannot carry."""
    data = marshal.dumps(frame, _VERSION)
    return _HEADER.pack(len(data)) + data


class Decoder:
    """Cuts a byte stream into frames."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> list[tuple[Any, ...]]:
        """The frames that are complete now. Raises ValueError when the stream is broken."""
        buffer = self._buffer
        if not buffer:  # as nearly always: nothing is copied
            found, end = _cut(data)
            if end < len(data):
                buffer += data[end:]
            return found
        buffer += data
        with memoryview(buffer) as view:
            found, end = _cut(view)
        del buffer[:end]
        return found


def _cut(data: bytes | memoryview) -> tuple[list[tuple[Any, ...]], int]:
    """The complete frames at the head of `data`, and where the rest begins."""
    frames: list[tuple[Any, ...]] = []
    start, end = 0, len(data)
    while end - start >= 4:
        (size,) = _HEADER.unpack_from(data, start)
        if size > MAX_FRAME:
            raise ValueError(f"a frame of {size} bytes")
        if end - start - 4 < size:
            break
        frames.append(marshal.loads(data[start + 4 : start + 4 + size]))
        start += 4 + size
    return frames, start
