"""What `wpy dev` prints of the config before it is ready, on terminals of several widths."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from wrangler_py.config.load import load_session
from wrangler_py.dev.banner import print_bindings
from wrangler_py.dev.terminal import Terminal

CONFIG = """
name = "narrow"
main = "entry.py"
compatibility_date = "2026-04-01"
queues.producers = [{ binding = "EMAILS", queue = "emails" }]
queues.consumers = [{ queue = "emails", dead_letter_queue = "emails-dead", max_retries = 7 }]
"""


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("columns", "bindings", "consumer"),
    [
        (
            100,
            "Binding                  Resource      Mode\nenv.EMAILS (emails)      Queue         local\n",
            "\nemails      10              5 s          7            0 s              emails-dead\n",
        ),
        (
            80,
            "Binding                  Resource      Mode\nenv.EMAILS (emails)      Queue         local\n",
            "\nemails  10          5 s      7        0 s          emails-dead\n",
        ),
        (
            40,
            "Binding              Resource  Mode\nenv.EMAILS (emails)  Queue     local\n",
            "\nemails\n  Batch size: 10\n  Timeout: 5 s\n  Retries: 7\n  Retry delay: 0 s\n  Dead letter queue: emails-dead\n",
        ),
    ],
)
def test_a_table_fits_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int, bindings: str, consumer: str
) -> None:
    (tmp_path / "wrangler.toml").write_text(CONFIG)
    (tmp_path / "entry.py").write_text("")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    screen = Screen()
    terminal = Terminal("log", screen)
    print_bindings(terminal, load_session([], cwd=tmp_path))
    terminal.flush()
    assert bindings in screen.getvalue()
    assert consumer in screen.getvalue()
    assert max(map(len, screen.getvalue().splitlines())) <= max(columns, 50)
