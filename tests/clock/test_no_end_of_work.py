"""Queues that are each other's dead letter queue, on a clock that stands: every move ends, and says why."""

import json

from session_project import Project

CONFIG = """
[[queues.producers]]
binding = "A"
queue = "a"

[[queues.consumers]]
queue = "a"
max_batch_timeout = 0
max_retries = 0
dead_letter_queue = "b"

[[queues.consumers]]
queue = "b"
max_batch_timeout = {timeout}
max_retries = 0
dead_letter_queue = "a"
"""
WORKER = """
from workers import WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def queue(self, batch, env, ctx):
        raise ValueError("not today")
"""


def test_61_each_others_dead_letter_queue(project: Project) -> None:
    project.config(CONFIG.format(timeout=0))
    project.code(WORKER)
    server = project.start("--clock", "virtual")
    server.wait_for('Dead letters go round: "a" → "b" → "a"')
    assert project.wpy("queues", "send", "a", "1", "--delay", "10").code == 0
    assert project.wpy("clock", "advance", "9s").code == 0  # nothing is due: nothing goes round

    for move in (["next"], ["advance", "1h"], ["run-until-idle"]):
        done = project.wpy("clock", *move)
        assert done.code == 1
        assert "there is no end of work" in done.err
        assert all(text in done.err for text in ('"a"', '"b"', "dead letters", "wpy queues pause-delivery"))
    assert server.get("/").status < 600, "it serves all the while"

    # Where time passes between, they go round as often as it does.
    project.config(CONFIG.format(timeout=10))
    server.wait_for("Reloaded|reloaded|RELOAD")
    assert project.wpy("clock", "advance", "60s").code == 0

    # And when it is stopped, the clock goes on and the message is there.
    assert project.wpy("queues", "pause-delivery", "a").code == 0
    assert project.wpy("clock", "advance", "1h").code == 0
    (message,) = json.loads(project.wpy("queues", "peek", "a", "--json").out)
    assert message["died_in"] == "b"
    told = json.loads(project.wpy("queues", "describe", "a", "--json").out)["advice"]
    assert "dead_letters_go_round" in [one["kind"] for one in told]
