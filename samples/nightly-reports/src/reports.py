"""The work itself; it knows nothing of Workers."""

from datetime import date
from zlib import crc32


def build(team, day):
    """A line of report. The numbers are made up, and the same each time for the same team and day."""
    orders = crc32(f"{team} {day}".encode()) % 400 + 100
    return f"report of {day} for {team}: {orders} orders"


def months_before(day, months):
    """The first day of the month that lies `months` months before `day`."""
    years, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return date(years, month + 1, 1)
