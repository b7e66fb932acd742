"""Nothing that was sent is lost: by kill -9, by Ctrl-C, by saving, by a crash of the worker."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from counting import handled, wait_until


def test_a_thousand_messages_survive_kill_9_in_the_middle(project, counting):
    counting("max_batch_size = 10\nmax_batch_timeout = 0", before_ack="time.sleep(0.001)")
    server = project.start("--no-reload")
    sent = []

    def send() -> None:
        try:
            for first in range(0, 1000, 10):
                if server.get(f"/send?first={first}&count=10").status == 200:
                    sent.extend(range(first, first + 10))
        except OSError:
            pass  # the session was killed

    sender = threading.Thread(target=send)
    sender.start()
    wait_until(lambda: len(handled(project.folder)) > 300)
    server.destroy()
    sender.join()
    survived = {number for number, _ in handled(project.folder)}
    assert len(survived) < 1000, "killed too late to prove anything"

    server = project.start("--no-reload")
    rest = sorted(set(range(1000)) - set(sent))
    for number in rest:
        assert server.get(f"/send?first={number}&count=1").status == 200
    wait_until(lambda: {number for number, _ in handled(project.folder)} == set(range(1000)))


def test_what_was_in_flight_comes_again_with_its_attempt_counted(project, counting):
    counting(before_ack="time.sleep(0 if message.attempts > 1 else 60)")
    server = project.start("--no-reload")
    assert server.get("/send?first=7&count=1").status == 200
    wait_until(lambda: (project.folder / "handled.log").exists())
    server.destroy()

    server = project.start("--no-reload")
    wait_until(lambda: handled(project.folder) == [(7, 2)])


def test_a_delayed_message_comes_at_its_time_after_kill_9(project, counting):
    counting()
    server = project.start("--no-reload")
    sent_at = time.time()
    assert server.get("/send?first=1&count=1&delay=3").status == 200
    server.destroy()

    server = project.start("--no-reload")
    wait_until(lambda: handled(project.folder) == [(1, 1)])
    begin = float((project.folder / "handled.log").read_text().splitlines()[0].split()[3])
    assert begin >= sent_at + 3


def test_ctrl_c_ends_within_two_seconds_and_keeps_what_runs(project, counting):
    counting("max_retries = 0\nmax_batch_timeout = 0", before_ack="time.sleep(0 if message.attempts > 1 else 60)")
    server = project.start("--no-reload")
    assert server.get("/send?first=3&count=1").status == 200
    wait_until(lambda: (project.folder / "handled.log").exists())
    assert server.stop(signal.SIGINT) < 2.0

    server = project.start("--no-reload")
    wait_until(lambda: handled(project.folder) == [(3, 2)])


def test_messages_wait_for_a_consumer(project, counting):
    counting()
    config = (project.folder / "wrangler.toml").read_text()
    project.write("wrangler.toml", config.partition("[[queues.consumers]]")[0])
    server = project.start("--no-reload")
    assert server.get("/send?first=5&count=2").status == 200
    server.wait_for('Queue "jobs" has messages and no consumer')
    server.stop()

    project.write("wrangler.toml", config)
    project.start("--no-reload")
    wait_until(lambda: handled(project.folder) == [(5, 1), (6, 1)])


def test_fifty_saves_while_messages_flow(project, counting):
    counting("max_batch_size = 5\nmax_batch_timeout = 0", before_ack="time.sleep(0.002)")
    server = project.start()
    source = (project.folder / "src/entry.py").read_text()
    log = project.folder / "handled.log"
    stop = threading.Event()

    def send() -> list[int]:
        sent: list[int] = []
        while not stop.is_set():
            first = len(sent)
            assert server.get(f"/send?first={first}&count=5").status == 200
            sent.extend(range(first, first + 5))
        return sent

    def save(version: int) -> None:
        """At once, as editors do: a file that is half written is a Worker without a handler, which is another matter."""
        whole = project.write("saved.tmp", source.replace('"v0"', f'"v{version}"'))
        whole.replace(project.folder / "src/entry.py")

    with ThreadPoolExecutor(1) as pool:
        sender = pool.submit(send)
        try:
            for version in range(1, 51):
                save(version)
                if version % 10:
                    time.sleep(0.05)
                else:  # however slow the machine is, some versions have handled something
                    wait_until(
                        lambda seen=f"end v{version} ": sender.done() or (log.exists() and seen in log.read_text())
                    )
            wait_until(lambda: server.get("/").text == "v50")
        finally:
            stop.set()
        sent = set(sender.result())
    wait_until(lambda: {number for number, _ in handled(project.folder)} == sent)

    spans: dict[str, list[tuple[float, float]]] = {}
    began: dict[str, float] = {}
    for line in log.read_text().splitlines():
        kind, *words = line.split()
        if kind == "begin":
            began[words[1]] = float(words[2])
        elif kind == "end":
            spans.setdefault(words[0], []).append((began[words[1]], float(words[2])))
    versions = sorted(spans, key=lambda version: spans[version][0][0])
    assert len(versions) >= 5
    for earlier, later in itertools.pairwise(versions):
        assert max(end for _, end in spans[earlier]) <= min(begin for begin, _ in spans[later])
