"""Stands in for your mail provider. In production this is one `await workers.fetch(...)` to its API."""


class MailboxUnavailable(Exception):
    """The provider could not hand the email over."""


async def send_email(to, subject):
    if to.endswith(".invalid"):  # a name that never resolves (RFC 2606)
        raise MailboxUnavailable(f"no mail server for {to}")
    print(f"to {to}: {subject}")
