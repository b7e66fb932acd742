"""A send of a JavaScript Worker is answered when the session's own file has it, which may be before the database has it."""

from __future__ import annotations

import sqlite3

from js_project import JsProject

CODE = """
export default {
  async fetch(request, env) {
    const counts = [];
    const { searchParams } = new URL(request.url);
    for (let number = 0; number < Number(searchParams.get("count")); number++) {
      const sent = await env.JOBS.send({ number }, { delaySeconds: 600 });
      counts.push(sent?.metadata?.metrics?.backlogCount);
    }
    return Response.json(counts);
  },
};
"""
CONFIG = {"queues": {"producers": [{"binding": "JOBS", "queue": "jobs"}]}, "compatibility_date": "2026-04-01"}


def stored(js: JsProject) -> list[bytes]:
    with sqlite3.connect(js.state / "wpy.sqlite") as database:
        return [row[0] for row in database.execute("SELECT body FROM message ORDER BY seq")]


def test_answered_sends_are_stored_before_the_request_is_answered_and_survive_kill_9(js: JsProject) -> None:
    js.worker(CODE, CONFIG)
    server = js.start()
    assert server.get("/?count=50").json() == list(range(1, 51))
    assert len(stored(js)) == 50

    # While another process holds the database, sends go on; then everything is killed.
    database = sqlite3.connect(js.state / "wpy.sqlite", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    assert server.get("/?count=20").json() == list(range(51, 71))
    server.destroy()
    database.execute("ROLLBACK")
    database.close()
    assert len(stored(js)) == 50

    again = js.start()
    numbers = [*range(50), *range(20)]
    assert stored(js) == [b'{"number":%d}' % number for number in numbers]
    assert again.get("/?count=1").json() == [71]
    again.stop()
    assert list((js.state / "outbox").iterdir()) == []
