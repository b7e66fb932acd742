"""The terminal of a session: one line for each thing that happened, in wrangler's form where wrangler has one.

Lines of one moment are written together, so that a busy queue costs one write and not thousands.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import shutil
import sys
from collections.abc import Callable
from typing import Any, TextIO

from wrangler_py.dev.durable_lines import LINES
from wrangler_py.dev.options import LogLevel
from wrangler_py.dev.style import Style, wants_color
from wrangler_py.events.log import Event
from wrangler_py.queues.limits import dropped_message, moving_to_dead_letter_queue
from wrangler_py.server.front_door import reason
from wrangler_py.session.times import iso, span

_RANK = {"debug": 0, "info": 1, "log": 1, "warn": 2, "error": 3, "none": 4}
#: Lines are held back at most this long (seconds).
_FLUSH_S = 0.005


class Terminal:
    """Prints events. Subscribe `on_event` to the event log."""

    def __init__(self, level: LogLevel, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self.style = Style(wants_color(self._out))
        self._rank = _RANK[level]
        self._lines: list[str] = []
        self._flush_planned = False
        self._gone = False

    # Writing ------------------------------------------------------------------------------------------------------

    @property
    def width(self) -> int | None:
        """The columns of the terminal; None when a file or a pipe is written."""
        return shutil.get_terminal_size().columns if self._out.isatty() else None

    def line(self, text: str = "") -> None:
        """Print a line as it is."""
        self._lines.append(text)
        if not self._flush_planned:
            self._flush_planned = True
            try:
                asyncio.get_running_loop().call_later(_FLUSH_S, self.flush)
            except RuntimeError:  # no loop: a command that ends at once
                self.flush()

    def flush(self) -> None:
        """Write what was held back."""
        self._flush_planned = False
        lines, self._lines = self._lines, []
        if not lines or self._gone:
            return
        text = "\n".join(lines) + "\n"
        try:
            self._out.write(text)
            self._out.flush()
        except UnicodeEncodeError:
            encoding = self._out.encoding or "ascii"
            self._out.write(text.encode(encoding, "replace").decode(encoding))
            self._out.flush()
        except (BrokenPipeError, ValueError):  # nobody reads any more; the session itself goes on
            self._gone = True
        except BlockingIOError:  # a pipe whose reader is slow and which somebody set to non-blocking
            self._lines = [text.rstrip("\n"), *self._lines]
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop().call_later(0.1, self.flush)

    def info(self, text: str) -> None:
        if self._rank <= _RANK["info"]:
            self.line(f"{self.style('[wrangler:info]', 'green')} {text}")

    def debug(self, text: str) -> None:
        if self._rank <= _RANK["debug"]:
            self.line(f"{self.style('[wrangler:debug]', 'dim')} {text}")

    def warn(self, text: str) -> None:
        if self._rank <= _RANK["warn"]:
            self.line(f"{self.style('[wrangler:warn]', 'yellow')} {text}")

    def error(self, text: str) -> None:
        if self._rank <= _RANK["error"]:
            self.line(f"{self.style('✘ [ERROR]', 'red', 'bold')} {text}")

    # Events -------------------------------------------------------------------------------------------------------

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of events that have a line."""
        return frozenset(_PRINTERS)

    def on_event(self, event: Event) -> None:
        """Print one event; kinds that have no line are passed over."""
        printer = _PRINTERS.get(event.kind)
        if printer is not None:
            printer(self, event.data)

    def _request(self, e: dict[str, Any]) -> None:
        status = e["status"]
        color = {2: "green", 4: "yellow", 5: "red"}.get(status // 100, "blue")
        s = self.style
        state = f"{s(status, 'bold', color)} {s(reason(status), color)}"
        self.info(f"{s(e['method'], 'bold')} {e['path']} {state} {s(_ms(e), 'dim')}")

    def _batch(self, e: dict[str, Any]) -> None:
        acked, total = e["acked"], e["total"]
        color = "green" if acked == total else "red" if acked == 0 else "yellow"
        s = self.style
        counts = s(f"{acked}/{total}", color)
        self.info(f"{s('QUEUE', 'bold')} {e['queue']} {counts} {s(_ms(e), 'dim')}")
        if e["outcome"] == "exceededWallTime":
            self.error(str(e["error"]))

    def _cron(self, e: dict[str, Any]) -> None:
        s = self.style
        outcome = s(e["outcome"], "green" if e["outcome"] == "ok" else "red")
        cron = _printable(e["cron"]) or "(no expression)"
        self.info(f"{s('CRON', 'bold')} {cron} {outcome} {s(_ms(e), 'dim')}")
        if e["outcome"] not in ("ok", "exception") and e["error"]:  # of an exception the worker prints the traceback
            self.error(str(e["error"]))

    def _retried(self, e: dict[str, Any]) -> None:
        delay = f" in {e['delay_seconds']} s" if e["delay_seconds"] else ""
        where = f" at {e['where']}" if e["where"] else ""
        why = f"{e['reason']}{where}"
        self.info(
            self.style(
                f'Retrying message "{e["id"]}" on queue "{e["queue"]}"{delay} (attempt {e["attempts"]}: {why})', "dim"
            )
        )

    def _dead_lettered(self, e: dict[str, Any]) -> None:
        self.warn(moving_to_dead_letter_queue(e["id"], e["queue"], e["dead_letter_queue"], e["attempts"]))

    def _dropped(self, e: dict[str, Any]) -> None:
        self.warn(dropped_message(e["id"], e["queue"], e["attempts"]))

    def _expired(self, e: dict[str, Any]) -> None:
        self.warn(f'{e["count"]} message(s) on queue "{e["queue"]}" outlived its retention period and were deleted')

    def _unconsumed(self, e: dict[str, Any]) -> None:
        self.warn(
            f'Queue "{e["queue"]}" has messages and no consumer in any session on this state. They are kept until '
            "their retention ends; add the queue to `queues.consumers` of a Worker to have them handled."
        )

    def _queue_created(self, e: dict[str, Any]) -> None:
        self.debug(f'Created queue "{e["queue"]}"')

    def _consumer_set(self, e: dict[str, Any]) -> None:
        for note in e["notes"]:
            self.warn(note)

    def _printed(self, e: dict[str, Any]) -> None:
        level = e["level"]
        if self._rank > _RANK.get(level, 1):
            return
        s = self.style
        label = f"[{e['worker']}]" + (f" {_printable(e['event'])} |" if e["event"] else "")
        color = {"error": "red", "warn": "yellow", "debug": "dim"}.get(level)
        for line in e["text"].removesuffix("\n").split("\n"):
            self.line(f"{s(label, 'dim')} {s(line, color) if color else line}")

    def _warned(self, e: dict[str, Any]) -> None:
        self.warn(f'Worker "{e["worker"]}": {e["text"]}')

    def _blocked(self, e: dict[str, Any]) -> None:
        doing = e["event"] or "the worker"
        self.warn(f"{doing} has blocked the worker for {e['seconds']:.1f} s at {e['where']}")

    def _breakpoint(self, e: dict[str, Any]) -> None:
        doing = e["event"] or f'the worker "{e["worker"]}"'
        self.info(f"{doing} stands at a breakpoint, {e['where']}: its time limits stand still (c goes on)")
        self.flush()

    def _crashed(self, e: dict[str, Any]) -> None:
        self.error(f'Worker "{e["worker"]}": {e["reason"]}. Its running events failed; starting it again.')

    def _load_failed(self, e: dict[str, Any]) -> None:
        self.error(f'Worker "{e["worker"]}" could not be loaded:')
        self.line(e["error"].rstrip("\n"))
        serving = "The version before it goes on serving. " if e.get("serving") else ""
        self.line(self.style(f"{serving}Save the file again once it is mended.", "dim"))

    def _reloaded(self, e: dict[str, Any]) -> None:
        self.line(self.style(f'⎔ Reloaded worker "{e["worker"]}" ({e["ms"]}ms)', "dim"))

    def _inspector(self, e: dict[str, Any]) -> None:
        self.info(
            f"DevTools can debug the JavaScript Workers at {e['address']} (chrome://inspect, Configure..., then inspect)"
        )

    def _store_failed(self, e: dict[str, Any]) -> None:
        self.error(f"Could not {e['doing']}: {e['error']}")

    def _record_failed(self, e: dict[str, Any]) -> None:
        self.warn(f"The event record: {e['error']}")

    def _consumer_failed(self, e: dict[str, Any]) -> None:
        self.error(f'The consumer of queue "{e["queue"]}" failed inside wpy: {e["error"]}. Please report this.')

    def _clock_frozen(self, e: dict[str, Any]) -> None:
        self.warn(
            f"The clock stands still at {iso(e['now_ms'])}: nothing fires until it is moved (`wpy clock advance 1h`, "
            "`wpy clock next`) or runs on (`wpy clock resume`)"
        )

    def _clock_moved(self, e: dict[str, Any]) -> None:
        self.info(f"{self.style('CLOCK', 'bold')} moved {span(e['to_ms'] - e['from_ms'])} ahead, to {iso(e['to_ms'])}")

    def _clock_resumed(self, e: dict[str, Any]) -> None:
        ahead_ms = e["ahead_ms"]
        where = "with the wall clock"
        if abs(ahead_ms) >= 1_000:
            where = f"{span(ahead_ms)} {'ahead of' if ahead_ms > 0 else 'behind'} the wall clock"
        self.info(f"{self.style('CLOCK', 'bold')} runs on from {iso(e['now_ms'])}, {where}")

    def _clock_jumped(self, e: dict[str, Any]) -> None:
        self.warn(f"The wall clock was set back by {span(e['by_ms'])}; the crons follow it")

    def _clock_set_back(self, e: dict[str, Any]) -> None:
        queue = e["queue"]
        self.warn(
            f'Queue "{queue}": {e["count"]} message(s) came at times that the clock has not reached (up to '
            f"{span(e['ms'])} ahead). They were brought back and wait no longer than they would have; "
            f"`wpy queues describe {shlex.quote(queue)}` shows the queue"
        )

    def _clock_waits(self, e: dict[str, Any]) -> None:
        self.warn(
            f'Queue "{e["queue"]}": its next message waits until {iso(e["until_ms"])}, as it was planned before the '
            "clock was set back. `wpy clock next` goes there"
        )

    def _clock_apart(self, e: dict[str, Any]) -> None:
        ahead_ms = e["ahead_ms"]
        self.warn(
            f"The clock starts {span(ahead_ms)} {'ahead of' if ahead_ms > 0 else 'behind'} the wall clock, and the "
            f"{e['messages']} message(s) in this state folder go with it, delays and retention too. "
            "With --persist-to FOLDER such a session has a state of its own"
        )

    def _cron_paused(self, e: dict[str, Any]) -> None:
        self.info(f"{self.style('CRON', 'bold')} paused: ticks pass by until `wpy cron resume`")

    def _cron_resumed(self, e: dict[str, Any]) -> None:
        self.info(f"{self.style('CRON', 'bold')} resumed")

    def _cron_none(self, e: dict[str, Any]) -> None:
        self.info('No cron to run. The config has none in triggers.crons, such as "*/5 * * * *"')

    def _cron_skipped(self, e: dict[str, Any]) -> None:
        self.info(self.style(f"CRON {e['cron']} skipped ({e['reason']})", "dim"))

    def _cron_missed(self, e: dict[str, Any]) -> None:
        what = "skipped" if e["skipped"] else "fired now"
        self.warn(f"Missed {e['count']} run(s) of cron {e['cron']} while the machine slept or wpy stood still; {what}")


def _printable(text: str) -> str:
    """`text` without anything that a terminal would obey: a trigger endpoint takes any cron, from anybody who asks."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _ms(e: dict[str, Any]) -> str:
    return f"({e['ms']}ms)"


_Printer = Callable[[Terminal, dict[str, Any]], None]
_PRINTERS: dict[str, _Printer] = {
    "request.finished": Terminal._request,
    "batch.finished": Terminal._batch,
    **LINES,
    "cron.finished": Terminal._cron,
    "cron.missed": Terminal._cron_missed,
    "cron.paused": Terminal._cron_paused,
    "cron.resumed": Terminal._cron_resumed,
    "cron.skipped": Terminal._cron_skipped,
    "cron.none": Terminal._cron_none,
    "clock.frozen": Terminal._clock_frozen,
    "clock.moved": Terminal._clock_moved,
    "clock.resumed": Terminal._clock_resumed,
    "clock.jumped": Terminal._clock_jumped,
    "clock.set_back": Terminal._clock_set_back,
    "clock.waits": Terminal._clock_waits,
    "clock.apart": Terminal._clock_apart,
    "message.retried": Terminal._retried,
    "message.dead_lettered": Terminal._dead_lettered,
    "message.dropped": Terminal._dropped,
    "message.expired": Terminal._expired,
    "queue.unconsumed": Terminal._unconsumed,
    "queue.created": Terminal._queue_created,
    "worker.printed": Terminal._printed,
    "worker.warned": Terminal._warned,
    "worker.blocked": Terminal._blocked,
    "worker.breakpoint": Terminal._breakpoint,
    "worker.crashed": Terminal._crashed,
    "worker.load_failed": Terminal._load_failed,
    "worker.reloaded": Terminal._reloaded,
    "inspector.listening": Terminal._inspector,
    "store.failed": Terminal._store_failed,
    "record.failed": Terminal._record_failed,
    "consumer.failed": Terminal._consumer_failed,
    "consumer.created": Terminal._consumer_set,
    "consumer.updated": Terminal._consumer_set,
}
