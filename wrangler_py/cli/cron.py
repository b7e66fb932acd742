"""`wpy cron`: what crons mean, and running them in a session. Each command is in a file of its own subject."""

from __future__ import annotations

from wrangler_py.cli.groups import Members, lazy_group

_COMMANDS: Members = {
    "next": ("cron_explain:next_fires", None),
    "check": ("cron_explain:check", None),
    "list": ("cron_explain:list_crons", None),
    "trigger": ("cron_runs:trigger", None),
    "backfill": ("cron_backfill:backfill", None),
    "pause": ("cron_runs:pause", None),
    "resume": ("cron_runs:resume", None),
    "history": ("cron_runs:history", None),
}

app = lazy_group("Explain, check, list and run crons.", _COMMANDS)
