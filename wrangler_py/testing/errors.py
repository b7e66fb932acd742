"""What a test is told when it cannot go on."""

from __future__ import annotations


class KitError(Exception):
    """The kit was used in a way that cannot work. The text names the test and the fix."""


class UnknownQueue(KitError, KeyError):
    """A queue that no worker of the project produces for or consumes from."""

    def __str__(self) -> str:
        return str(self.args[0])


class ClockBackwards(KitError, ValueError):
    """The clock was asked to go back."""


class NetworkBlocked(KitError, ConnectionError):
    """User code called somebody whom the test has not named."""


class Leftovers(KitError):
    """The test ended while something was still running."""


class HandlerHung(KitError):
    """A handler did not end."""
