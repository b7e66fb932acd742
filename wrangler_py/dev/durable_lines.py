"""The lines of alarms and workflows on the terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wrangler_py.dev.terminal import Terminal


def _object(e: dict[str, Any]) -> str:
    return f"{e['class_name']}({e['name'] or e['id'][:12] + '…'})"


def _ms(e: dict[str, Any]) -> str:
    return f"({e['ms']}ms)"


def _alarm_finished(terminal: Terminal, e: dict[str, Any]) -> None:
    s = terminal.style
    terminal.info(f"{s('ALARM', 'bold')} {_object(e)} {s('ok', 'green')} {s(_ms(e), 'dim')}")


def _alarm_retrying(terminal: Terminal, e: dict[str, Any]) -> None:
    terminal.error(f"The alarm of {_object(e)} failed; retry {e['retry']} in {e['delay_s']:g} s\n{e['error']}")


def _alarm_failed(terminal: Terminal, e: dict[str, Any]) -> None:
    terminal.error(f"The alarm of {_object(e)} failed after it had set another one, which stands\n{e['error']}")


def _alarm_gave_up(terminal: Terminal, e: dict[str, Any]) -> None:
    terminal.error(f"The alarm of {_object(e)} failed again after {e['retries']} retries: it is given up\n{e['error']}")


def _workflow(terminal: Terminal, e: dict[str, Any], what: str, *colors: str) -> None:
    s = terminal.style
    terminal.info(f"{s('WORKFLOW', 'bold')} {e['workflow']}/{e['instance']} {s(what, *colors)}")


def _completed(terminal: Terminal, e: dict[str, Any]) -> None:
    _workflow(terminal, e, "complete", "green")


def _errored(terminal: Terminal, e: dict[str, Any]) -> None:
    _workflow(terminal, e, "errored", "red")
    terminal.error(f"{e['name']}: {e['error']}")


def _step_failed(terminal: Terminal, e: dict[str, Any]) -> None:
    end = "" if e["final"] else "; it is tried again"
    last = str(e["error"]).rstrip("\n").rpartition("\n")[2]
    terminal.warn(f'Step "{e["step"]}" of {e["workflow"]}/{e["instance"]} failed (attempt {e["attempt"]}): {last}{end}')


def _said(what: str) -> Callable[[Terminal, dict[str, Any]], None]:
    return lambda terminal, e: _workflow(terminal, e, what, "dim")


#: By the kind of event.
LINES: dict[str, Callable[[Terminal, dict[str, Any]], None]] = {
    "alarm.finished": _alarm_finished,
    "alarm.retrying": _alarm_retrying,
    "alarm.failed": _alarm_failed,
    "alarm.gave_up": _alarm_gave_up,
    "workflow.completed": _completed,
    "workflow.errored": _errored,
    "workflow.step_failed": _step_failed,
    "workflow.paused": _said("paused"),
    "workflow.resumed": _said("resumed"),
    "workflow.terminated": _said("terminated"),
    "workflow.restarted": _said("restarted"),
}
