"""Emails that Workers send: checked as Cloudflare checks them, and written to a file instead of being sent."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email import message_from_string, policy
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Any

#: The folder of the files in a state folder.
FOLDER = "email"


class EmailRefused(Exception):
    """The text is the Error's message in the Worker."""


def recipients(fields: Mapping[str, Any]) -> list[str]:
    """The addresses that an email goes to."""
    given = fields["to"] if isinstance(fields["to"], list) else [fields["to"]]
    return [parseaddr(address)[1] or str(address) for address in given]


def check(fields: Mapping[str, Any], listed: Sequence[str] | None) -> None:
    """Raises EmailRefused. `listed`: the only addresses that may be written to; texts and checks of a whole message are
    those of wrangler 4.86, which are production's."""
    for address in recipients(fields):
        if listed and address not in listed:
            raise EmailRefused(f"email to {address} not allowed")
    if fields.get("raw") is None:
        return
    parsed = message_from_string(fields["raw"], policy=policy.default)
    if parsed["message-id"] is None:
        raise EmailRefused("invalid message-id")
    if parseaddr(str(parsed["from"] or ""))[1] != fields["from"]:
        raise EmailRefused("From: header does not match mail from")
    if parsed["received"] is not None:
        raise EmailRefused("invalid headers set")


def write(folder: Path, now_ms: int, message_id: str, fields: Mapping[str, Any]) -> Path:
    """The email as a file in `folder`, which mail programs open. Raises OSError."""
    folder.mkdir(exist_ok=True)
    moment = datetime.fromtimestamp(now_ms / 1000, UTC)
    path = folder / f"{moment:%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}.eml"
    raw = fields.get("raw")
    if raw is not None:
        path.write_text(raw, encoding="utf-8", newline="")
        return path
    made = EmailMessage(policy=policy.SMTP)
    made["From"] = fields["from"]
    made["To"] = ", ".join(fields["to"] if isinstance(fields["to"], list) else [fields["to"]])
    made["Subject"] = (fields.get("subject") or "").replace("\r", " ").replace("\n", " ")
    made["Message-ID"] = message_id
    made["Date"] = format_datetime(moment)
    made.set_content(fields.get("text") or "")
    if fields.get("html"):
        made.add_alternative(fields["html"], subtype="html")
    path.write_bytes(bytes(made))
    return path
