"""900 expressions with their next five fires, or their refusal, as Cloudflare's published parser gave them."""

import datetime as dt
import json
from itertools import islice
from pathlib import Path

import pytest

from wrangler_py.cron.expression import DIALECTS, CronSyntaxError, parse
from wrangler_py.cron.schedule import QuickSchedule, Schedule

#: Measured, they would take three times as long, and other tests run the same lines.
pytestmark = pytest.mark.no_cover

VECTORS = [json.loads(line) for line in (Path(__file__).parent / "vectors.jsonl").read_text().splitlines()]
ACCEPTED = [vector for vector in VECTORS if vector["ok"]]
REFUSED = [vector for vector in VECTORS if not vector["ok"]]


def ms(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()) * 1000


def test_the_vectors_are_all_there():
    assert (len(ACCEPTED), len(REFUSED)) == (600, 300)


# The vectors were chosen so that both readings of a wrap-around range agree on them.
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("kind", [Schedule, QuickSchedule])
def test_next_five(kind, dialect):
    wrong = {}
    for vector in ACCEPTED:
        schedule = kind(vector["expr"], dialect)
        found = list(islice(schedule.iter_after(ms(vector["after"])), 5))
        if found != [ms(time) for time in vector["times"]]:
            wrong[vector["expr"]] = found
    assert wrong == {}


@pytest.mark.parametrize("vector", REFUSED, ids=lambda vector: repr(vector["expr"]))
def test_refused(vector):
    with pytest.raises(CronSyntaxError):
        parse(vector["expr"])
