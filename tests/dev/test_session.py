"""A session from outside: ports, signals, output, errors at the start."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys

import pytest
import warm_wpy

HELLO = """
from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        print("hello from fetch")
        return Response(f"Hello {self.env.NAME}")

    async def scheduled(self, controller, env, ctx):
        print(f"cron {controller.cron} at {controller.scheduledTime}")
"""


@pytest.fixture
def hello(project):
    project.config('[vars]\nNAME = "Ada"\n')
    project.code(HELLO)
    return project


def run_dev(project, *arguments: str, timeout: float = 20.0) -> subprocess.CompletedProcess[str]:
    """A session that is expected to end by itself."""
    return warm_wpy.run(
        [sys.executable, "-m", "wrangler_py", "dev", *arguments],
        cwd=project.folder,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "NO_COLOR": "1"},
    )


def test_the_first_minute(hello):
    server = hello.start()
    reply = server.get("/some/path?x=1")
    assert (reply.status, reply.text) == (200, "Hello Ada")
    server.wait_for(r"^\[wrangler:info\] GET /some/path 200 OK \(\d+ms\)$")
    server.wait_for(r"^\[app\] .*hello from fetch$")
    assert server.find(r"^env\.NAME \(\"Ada\"\) +Environment Variable +local$")
    assert "\x1b" not in server.output, "colours without a terminal"


def test_a_given_port_that_is_taken_names_its_holder(hello):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_dev(hello, "--port", str(port))
    assert done.returncode == 1
    assert f"Port {port} is already in use" in done.stdout
    assert "--port" in done.stdout
    if sys.platform == "linux":
        assert str(os.getpid()) in done.stdout


def test_the_default_port_moves_on_when_taken(hello):
    first = hello.server(port=None).start()
    second = hello.server("--persist-to", str(hello.folder / "other"), port=None).start()
    assert first.url != second.url
    assert second.get("/").text == "Hello Ada"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_within_two_seconds(hello, number):
    assert hello.start().stop(number) < 2.0


def test_a_foreign_address_is_warned_of(hello):
    server = hello.start("--ip", "0.0.0.0")
    assert server.find("other machines can reach this session")


def test_var_overrides_and_secrets_are_hidden(hello):
    hello.write(".dev.vars", "SECRET=hush\n")
    server = hello.start("--var", "NAME:Bob")
    assert server.get("/").text == "Hello Bob"
    assert "hush" not in server.output
    assert server.find(r'env\.SECRET \("\(hidden\)"\)')


def test_all_config_problems_at_once(project):
    project.config(
        """
        [[queues.consumers]]
        queue = "a"
        max_batch_size = 101
        dead_letter_queue = "a"
        """
    )
    project.code(HELLO)
    done = run_dev(project)
    assert done.returncode == 1
    assert "queues.consumers[0].max_batch_size" in done.stdout and "1 to 100" in done.stdout
    assert 'Dead letter queue for queue "a" cannot be itself' in done.stdout
    assert re.search(r"wrangler\.toml:\d+", done.stdout)


def test_a_syntax_error_at_the_start_is_healed_by_a_save(hello):
    hello.code("class Default(\n")
    server = hello.start()
    reply = server.get("/")
    assert reply.status == 500
    assert "SyntaxError" in reply.text and "entry.py" in reply.text
    hello.code(HELLO)
    server.wait_for(r"Reloaded|Ready", count=2)
    assert server.get("/").text == "Hello Ada"


def test_a_syntax_error_later_keeps_the_old_code(hello):
    server = hello.start()
    mark = server.mark()
    hello.code(HELLO + "\ndef broken(:\n")
    server.wait_for("could not be loaded", after=mark)
    server.wait_for("SyntaxError", after=mark)
    assert server.get("/").text == "Hello Ada"
    hello.code(HELLO.replace("Hello", "Bye"))
    server.wait_for("Reloaded", after=mark)
    assert server.get("/").text == "Bye Ada"


def test_a_changed_config_is_applied_and_a_wrong_one_is_not(hello):
    server = hello.start()
    mark = server.mark()
    hello.config('[vars]\nNAME = "Eve"\n')
    server.wait_for("Config changed and applied", after=mark)
    assert server.get("/").text == "Hello Eve"
    mark = server.mark()
    hello.config('[vars\nNAME = "Mallory"\n')
    server.wait_for("the one before it stays in force", after=mark)
    assert server.get("/").text == "Hello Eve"


def test_crashes_never_stall_the_server(project):
    project.config()
    project.code(
        """
        import os
        from workers import Response, WorkerEntrypoint


        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                if request.url.endswith("/exit"):
                    os._exit(7)
                if request.url.endswith("/abort"):
                    os.abort()
                if request.url.endswith("/raise"):
                    return self.nothing_here
                return Response(str(os.getpid()))
        """
    )
    server = project.start()
    pids = {server.get("/").text}
    assert server.get("/exit").status == 500
    server.wait_for("exit code 7")
    pids.add(server.get("/").text)
    assert server.get("/abort").status == 500
    server.wait_for("SIGABRT")
    pids.add(server.get("/").text)
    assert len(pids) == 3
    assert server.get("/raise").status == 500
    server.wait_for("AttributeError")
    traceback = server.output[server.output.index("Traceback") :]
    assert traceback.splitlines()[1].strip().find("entry.py") > 0, "the first frame is the user's"


def test_scheduled_by_hand(hello):
    server = hello.start()
    reply = server.get("/__scheduled?cron=*+*+*+*+*")
    assert (reply.status, reply.text) == (200, "Ran scheduled event")
    server.wait_for(r"cron \* \* \* \* \* at \d{13}$")
    reply = server.get("/cdn-cgi/handler/scheduled?cron=x&time=1700000000000&format=json")
    assert (reply.status, reply.json()) == (200, {"outcome": "ok", "noRetry": False})
    server.wait_for("cron x at 1700000000000$")
    assert server.get("/cdn-cgi/handler/scheduled", headers={"Host": "evil.example"}).status == 403


def test_a_cron_fires_on_the_virtual_clock(hello):
    hello.config('[vars]\nNAME = "Ada"\n[triggers]\ncrons = ["0 10 * * MON"]\n')
    server = hello.start("--clock", "virtual", "--now", "2026-03-01T00:00:00Z")
    assert server.find(r"0 10 \* \* MON +app +2026-03-02 10:00")
    control(server, "clock/advance", {"seconds": 2 * 86_400})
    server.wait_for(r"cron 0 10 \* \* MON at 1772445600000$")


def control(server, call: str, arguments: dict | None = None, method: str = "POST"):
    """A call of the session's control API, with the token from its state database."""
    import sqlite3

    with sqlite3.connect(server.state / "wpy.sqlite") as connection:
        (token,) = connection.execute("SELECT token FROM session WHERE url = ?", (server.url,)).fetchone()
    reply = server.request(method, f"/cdn-cgi/wpy/api/{call}", json=arguments or {}, headers={"X-Wpy-Token": token})
    assert reply.status == 200, reply.text
    return reply.json()


def test_the_control_api_asks_for_the_token(hello):
    server = hello.start()
    assert server.get("/cdn-cgi/wpy/api/crons/history").status == 404  # what is there for everybody is the dashboard's
    assert server.post("/cdn-cgi/wpy/api/clock/freeze", json={}).status == 401
    assert control(server, "clock", method="GET")["frozen"] is False
    assert json.loads(server.post("/cdn-cgi/wpy/api/clock/advance").body)["error"]
