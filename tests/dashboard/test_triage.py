"""The whole triage in a real browser on a real session: something fails, a person sees why, mends it, and sees it turn green."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dev_server import DevServer
from page import Dashboard
from session_project import Project

Open = Callable[..., Dashboard]

CONFIG = """
[[queues.producers]]
binding = "JOBS"
queue = "jobs"

[[queues.consumers]]
queue = "jobs"
max_batch_size = 10
max_batch_timeout = 5
max_retries = 1
retry_delay = 600
dead_letter_queue = "jobs-dead"

[triggers]
crons = ["30 4 * * MON"]
"""

CODE = """
from workers import Response, WorkerEntrypoint

PRICES = {"ada": 3}


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        await self.env.JOBS.send({"to": request.url.rsplit("/", 1)[1], "order": 12})
        return Response("queued")

    async def queue(self, batch, env, ctx):
        for message in batch.messages:
            print("charging", message.body["to"])
            print("price", PRICES[message.body["to"]])

    async def scheduled(self, controller, env, ctx):
        print("report for", controller.scheduledTime)
"""

STATE = "main .page-head .state"


@pytest.fixture
def session(project: Project) -> Iterator[DevServer]:
    project.config(CONFIG)
    project.code(CODE)
    server = project.start("--clock", "virtual", "--now", "2026-03-27T10:00:00Z")
    yield server
    server.stop()


def mend(project: Project, server: DevServer) -> None:
    mark = server.mark()
    project.code(CODE.replace('{"ada": 3}', '{"ada": 3, "bob": 5, "eve": 7}'))
    server.wait_for("Reloaded worker", after=mark)


def test_the_triage_by_keyboard_and_by_mouse(session: DevServer, project: Project, open_page: Open) -> None:
    page = open_page(session.url)
    page.sees("All is well")
    assert "amber" in page.page.locator(".strip .clock .tag").get_attribute(
        "class"
    )  # the clock is virtual, and says so

    # By keyboard: the next event runs; its failure needs a person; Enter opens it beside its traceback.
    session.get("/bob")
    page.press("g", ".")
    page.sees("KeyError", within=".needs")
    page.press("j", "Enter")
    page.sees("PRICES[message.body")  # the line of the traceback
    page.sees("charging bob")  # what it printed
    page.sees("Retried")
    page.sees("1 left")
    failed = page.page.url
    mend(project, session)
    page.press("R")
    page.page.wait_for_function("was => location.href !== was", arg=failed)
    page.sees("replay of", within=".lineage")
    page.press("g", ".")
    page.page.locator(f"{STATE}.s-acked").wait_for()
    page.sees("Acknowledged")
    page.sees("price 5")
    # The replay is green beside the old message too; that one still waits, until it need not.
    page.press("u")
    page.page.locator(".lineage .relative.s-acked").wait_for()
    page.page.locator(f"{STATE}.s-retrying").wait_for()
    page.press("r")
    page.sees("1 message made ready now", within=".toasts")
    page.press("g", ".")
    page.page.locator(f"{STATE}.s-acked").wait_for()
    # Code that cannot be loaded needs a person too, until it can.
    page.press("g", "n")
    project.code(CODE + "\ndef broken(:\n")
    page.sees("Worker app could not be loaded")
    page.sees("the version before serves")
    page.sees("SyntaxError")
    project.code(CODE)
    page.page.locator(".needs", has_text="could not be loaded").wait_for(state="detached")
    page.page.go_back()
    page.sees("Attempt 2 of 2")
    page.press("[")
    page.sees("Attempt 1 of 2")
    # Its trace: solid work, hatched waits.
    page.press("w")
    page.page.locator(".wf-bar.wait").first.wait_for()
    assert page.page.locator(".wf-row", has_text="attempt").count() == 3  # two, and that of the replay


def test_a_redrive_a_cron_and_the_clock_by_mouse(session: DevServer, project: Project, open_page: Open) -> None:
    project.code(CODE)
    page = open_page(session.url, "#/queues")
    for name in ("eve", "bob"):
        session.get(f"/{name}")
    # An hour passes; both fail twice and are dead.
    page.button("+1h", within=".strip").click()
    dead = page.page.locator(".strip .item", has_text="Dead")
    page.waits_for("() => document.querySelector('.strip .item[title^=Dead] b').textContent === '2'")
    assert "frozen" in page.page.locator(".strip .clock").inner_text()
    dead.click()
    assert page.page.url.endswith("q=state%3Adead")
    page.sees("KeyError")
    page.rows.first.locator(".c-queue a").click()
    page.page.get_by_role("tab", name=re.compile("Dead letters")).click()
    mend(project, session)
    page.button("Redrive all").click()
    dialog = page.page.locator("dialog")
    assert "2 dead letters" in dialog.inner_text()
    dialog.get_by_role("button", name="Redrive", exact=True).click()
    page.sees("2 messages went back to jobs", within=".toasts")
    page.sees("No dead letters")
    page.button("next event", within=".strip").click()
    page.button("+1m", within=".strip").click()
    session.wait_for("price 7")
    page.go("#/queue/jobs?q=state:acked")
    page.sees("handler returned")
    assert page.page.locator(".vrow .s-acked").count() >= 2

    # A cron, for a time of one's choice.
    page.page.get_by_role("link", name="Crons").click()
    page.sees("Monday")
    page.button("Run…").click()
    page.page.get_by_label("controller.scheduledTime").fill("2026-03-29T02:00")
    page.page.locator("dialog").get_by_role("button", name="Run", exact=True).click()
    session.wait_for("report for 1774749600000")
    page.page.locator(".cron-strip rect[height='25'], .cron-strip rect[height='24']").first.wait_for()
    page.button("Backfill…").click()
    page.page.get_by_label("From, UTC").fill("2026-03-01T00:00")
    page.page.get_by_label("To, UTC").fill("2026-03-20T00:00")
    page.press("Enter")
    page.sees("3 runs", within="dialog")

    # The next event is the cron: the clock goes there, and nowhere else.
    page.press("Escape")
    page.button("next event", within=".strip").click()
    page.waits_for("() => document.querySelector('.strip .time').textContent.includes('03-30 04:30:00')")
    session.wait_for("report for 1774845000000")
    page.button("run", within=".strip", exact=True).click()
    page.waits_for("() => !document.querySelector('.strip .clock').textContent.includes('frozen')")


def test_every_action_can_be_had_as_a_command(session: DevServer, open_page: Open) -> None:
    session.get("/ada")
    page = open_page(session.url, "#/messages")
    page.rows.first.wait_for()
    page.press("j", "c")
    menu = page.page.get_by_role("menu")
    menu.get_by_text("wpy command").first.click()
    page.sees("Copied", within=".toasts")
    copied: Any = page.page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("wpy queues ")
    # Send from the page, with a count.
    page.go("#/queue/jobs")
    page.page.locator("h1", has_text="jobs").wait_for()
    page.page.mouse.move(5, 400)  # a list under the pointer holds still
    page.press("s")
    page.page.locator("dialog textarea").fill('{"to": "ada", "n": {{i}}}')
    page.page.get_by_label("Count").fill("3")
    page.press("Control+Enter")
    page.sees("3 messages sent to jobs", within=".toasts")
    page.waits_for("() => document.querySelectorAll('main .vrow').length === 4")
    # Select all that match, take them away, and have them back.
    page.press("Control+a")
    page.sees("4 selected")
    page.press("#")
    page.sees("discarded", within=".toasts")
    page.press("z")  # at once: it is offered for ten seconds, whatever else the machine has to do
    page.sees("brought back", within=".toasts")
    events = session.get("/cdn-cgi/wpy/api/events?after=0&limit=1000").json()["events"]
    assert [e["data"]["count"] for e in events if e["kind"] in ("message.discarded", "message.restored")] == [4, 4]
    page.waits_for("() => document.querySelector('.strip .item[title^=Ready] b').textContent === '4'")
    page.waits_for("() => document.querySelectorAll('main .vrow:not(.left)').length === 4")
    # Find by a value in the body, with completion.
    page.press("/")
    page.type("body.n")
    page.sees("body.n:", within=".offers")
    page.press("ArrowDown", "Tab")
    page.type("2 ")
    page.waits_for("() => document.querySelectorAll('main .vrow').length === 1")
    # Edit and replay.
    page.press("Enter")  # leaves the box for the list
    page.press("j", "Enter")
    page.sees("Not tried yet")
    page.press("e")
    page.page.locator("dialog textarea").fill('{"to": "ada", "n": 77}')
    page.press("Control+Enter")
    page.sees("replay of", within=".lineage")
    page.sees("77", within=".jtree")
