"""Two sessions on one state folder: one produces, the other consumes."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time

import pytest
from counting import wait_until

PRODUCER = """
from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        await self.env.JOBS.send({"n": request.url.rpartition("/")[2]})
        return Response("sent")
"""
#: The server stands still while this sends: only the file of the worker's process has the message.
STOPPING = """
import os
import pathlib
import signal

from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        os.kill(os.getppid(), signal.SIGSTOP)
        await self.env.JOBS.send({{"n": 5}})
        pathlib.Path({sent!r}).touch()
"""
CONSUMER = """
import time

from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        return Response("consumer")

    async def queue(self, batch, env, ctx):
        for message in batch.messages:
            print(f"got {message.body['n']} at {time.time():.4f}")
"""
SETTINGS = 'main = "src/{name}.py"\nname = "{name}"\ncompatibility_date = "2026-03-01"\n'


@pytest.fixture
def pair(project):
    project.write(
        "producer.toml", SETTINGS.format(name="producer") + '[[queues.producers]]\nbinding = "JOBS"\nqueue = "jobs"\n'
    )
    project.write(
        "consumer.toml",
        SETTINGS.format(name="consumer") + '[[queues.consumers]]\nqueue = "jobs"\nmax_batch_timeout = 0\n',
    )
    project.write("src/producer.py", PRODUCER)
    project.write("src/consumer.py", CONSUMER)
    return project


def test_a_message_sent_in_one_starts_its_batch_in_the_other(pair):
    producer, consumer = pair.start("-c", "producer.toml"), pair.start("-c", "consumer.toml")
    late = []
    for number in range(10):
        producer.get(f"/{number}")
        sent_at = time.time()
        got = consumer.wait_for(rf"got {number} at (\d+\.\d+)")
        late.append(float(got[1]) - sent_at)
        time.sleep(0.02)
    assert sorted(late)[5] < 0.1, late


def test_messages_wait_while_the_consumer_is_down(pair):
    producer = pair.start("-c", "producer.toml")
    producer.get("/1")
    producer.wait_for('Queue "jobs" has messages and no consumer')
    consumer = pair.start("-c", "consumer.toml")
    consumer.wait_for("QUEUE jobs 1/1")
    consumer.destroy()
    producer.get("/2")
    again = pair.start("-c", "consumer.toml")
    again.wait_for("got 2 at")
    assert not again.find("got 1 at")


def test_what_only_the_file_of_a_killed_producer_has_is_taken_by_the_neighbour_that_lives(pair, tmp_path):
    pair.write("src/producer.py", STOPPING.format(sent=str(tmp_path / "sent")))
    producer, consumer = pair.start("-c", "producer.toml"), pair.start("-c", "consumer.toml")

    def ask() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):  # it is killed before it answers
            producer.get("/5")

    asking = threading.Thread(target=ask)
    asking.start()
    wait_until((tmp_path / "sent").exists)
    producer.destroy()
    asking.join()
    consumer.wait_for("got 5 at")


def test_a_second_consumer_is_refused_with_the_name_of_the_first(pair):
    pair.start("-c", "consumer.toml")
    pair.write("other.toml", (pair.folder / "consumer.toml").read_text().replace('"consumer"', '"other"'))
    other = pair.server("-c", "other.toml")
    other.launch()
    assert other.wait_exit() == 1
    assert 'Multiple consumers defined for queue "jobs": "consumer" and "other"' in other.output


def test_a_start_takes_back_only_what_a_dead_session_held(pair):
    slow = 'print("begin"); time.sleep(60 if message.attempts == 1 else 0); print(f'
    pair.write("src/consumer.py", CONSUMER.replace("print(f", slow))
    producer, consumer = pair.start("-c", "producer.toml"), pair.start("-c", "consumer.toml")
    producer.get("/7")
    consumer.wait_for("begin$")
    # A third session starts while the consumer holds the message: it must stay where it is.
    third = pair.start("-c", "producer.toml")
    assert not third.find("were in flight")
    third.stop()
    consumer.destroy()
    again = pair.start("-c", "consumer.toml")
    assert again.find(r"1 message\(s\) were in flight")
    again.wait_for("got 7 at")
