"""The page itself: nothing moves by itself, nothing inaccessible, nothing from elsewhere, whatever is in the bodies, however much
there is; and it outlives its session.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from bound_state import CLASSES, bindings
from dev_server import DevServer
from page import ROOT, Dashboard
from session_project import Project

Open = Callable[..., Dashboard]

CONFIG = """
[[queues.producers]]
binding = "JOBS"
queue = "jobs"

[[queues.producers]]
binding = "KEPT"
queue = "kept"

[[queues.consumers]]
queue = "jobs"
max_batch_size = 10
max_batch_timeout = 0
max_retries = 2
retry_delay = 30
dead_letter_queue = "jobs-dead"

[triggers]
crons = ["0 0 1 1 *", "0 0 1 * *"]
"""

CODE = """
class Default(WorkerEntrypoint):
    async def fetch(self, request):
        if request.url.endswith("/seed"):
            for n in range(120):
                await self.env.CACHE.put(f"key-{n:03}", '{"n": 9007199254740993}')
            await self.env.FILES.put("photos/cat.txt", "<b>miaow</b>")
            await self.env.DB.exec("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
            await self.env.DB.exec("INSERT INTO users VALUES (9007199254740993, 'ada')")
            await self.env.ROOM.get(self.env.ROOM.idFromName("lobby")).enter("ada")
            await self.env.ORDERS.create(id="order-1", params={"total": 5})
            return Response("seeded")
        await self.env.JOBS.send({"to": request.url.rsplit("/", 1)[1]})
        return Response("queued")

    async def queue(self, batch, env, ctx):
        for message in batch.messages:
            print("job for", message.body["to"])
            if message.body["to"] == "bob":
                raise ConnectionError("no mail server for bob")

    async def scheduled(self, controller, env, ctx):
        pass
"""
HTML = "<img src=x onerror='window.pwned=1'><script>window.pwned=2</script><b>bold</b>"
DEEP = 20_000
JSON_TEXTS = [
    '{"a": [1, {"b": null}], "": "", "a b": [[], {}]}',
    '"\\u00e9\\n\\"\\\\/"',
    "  [true , false,null ]\n",
    "-12.5e-3",
    '{"same": 1, "other": [{"deep": [[[1]]]}]}',
]
NO_JSON = ("", "[1,]", "{,}", "{'a': 1}", "01", "[1] 2", '{"a" 1}', '"\n"', "[", '{"a":', "nul", "NaN", '"\\x"')
SCREENS = (
    "#/",
    "#/queues",
    "#/messages",
    "#/queue/jobs",
    "#/queue/jobs?tab=settings",
    "#/queue/jobs-dead?tab=dead",
    "#/queue/jobs?tab=metrics",
    "#/message/{id}",
    "#/batches",
    "#/crons",
    "#/cron/app/0%200%201%20*%20*",
    "#/alarms",
    "#/traces",
    "#/trace/{trace}",
    "#/logs",
    "#/limits",
    "#/state",
    "#/state/kv/cache?key=key-000",
    "#/state/d1/shop-id",
    "#/state/r2/files?prefix=photos/&key=photos/cat.txt",
    "#/state/objects/app/Room",
    "#/state/objects/app/Room/{room}",
    "#/state/workflows/order-flow/order-1",
    "#/faults",
)


@pytest.fixture
def session(project: Project) -> Iterator[DevServer]:
    project.config(CONFIG + bindings())
    project.code(CLASSES + CODE)
    server = project.start("--clock", "virtual", "--now", "2026-03-27T10:00:00Z")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """One session for tests that do not mind each other's messages."""
    made = Project(tmp_path_factory.mktemp("page") / "app")
    made.config(CONFIG + bindings())
    made.code(CLASSES + CODE)
    yield made.start("--clock", "virtual", "--now", "2026-03-27T10:00:00Z")
    made.stop()


def token(server: DevServer) -> str:
    found = re.search(r'name="wpy-token" content="([^"]+)"', server.get(ROOT).text)
    assert found
    return found[1]


def send(server: DevServer, queue: str, **body: Any) -> None:
    reply = server.post(f"{ROOT}api/queues/{queue}/send", json=body, headers={"X-Wpy-Token": token(server)})
    assert reply.status == 200, reply.text


def messages(server: DevServer, q: str = "") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = server.get(f"{ROOT}api/messages?q={q}").json()["rows"]
    return rows


def test_every_screen_is_accessible_light_dark_and_narrow(shared: DevServer, open_page: Open) -> None:
    session = shared
    axe = Path(pytest.importorskip("axe_playwright_python").__file__).with_name("axe.min.js").read_text("utf-8")
    assert session.get("/seed").text == "seeded"
    session.get("/bob")
    session.get("/ada")
    session.wait_for("Retrying message")
    session.wait_for("QUEUE jobs 1/1|QUEUE jobs 0/2")
    failed = messages(session, "state:retrying")[0]
    room = session.get(f"{ROOT}api/state/objects?worker=app&class=Room&q=lobby").json()["objects"][0]["id"]
    # All rules on a wide page; what can differ, colours and widths, on the others.
    for width, theme, only in ((1440, "light", None), (1440, "dark", ["color-contrast"]), (375, "light", [])):
        page = open_page(session.url, width=width, theme=theme)
        if only != []:
            page.page.evaluate(axe)  # by the debugger, which the policy does not bind
        for screen in SCREENS[::3] if only else SCREENS:
            page.go(screen.format(id=failed["id"], trace=failed["traceId"], room=room))
            page.page.wait_for_function("() => !document.querySelector('main .page:empty')")
            page.settles()
            bad = page.page.evaluate(
                """async only => {
                  if (only && !only.length) return [];
                  const rules = only ? {runOnly: {type: 'rule', values: only}} : {};
                  const found = await axe.run(document, {resultTypes: ['violations'], preload: false, ...rules});
                  return found.violations.filter((v) => ['serious', 'critical'].includes(v.impact))
                    .map((v) => `${v.id} at ${v.nodes[0].html.slice(-200)}: ${v.nodes[0].failureSummary}`);
                }""",
                only,
            )
            assert not bad, (screen, width, theme, bad)
            wide = page.page.evaluate("document.documentElement.scrollWidth > innerWidth")
            assert not wide, f"{screen} at {width} px is wider than the window"
    # By the keyboard alone: what has the focus can be seen.
    page.press("Tab")
    assert page.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_little_is_loaded_and_nothing_moves_by_itself(session: DevServer, open_page: Open) -> None:
    page = open_page(session.url, "#/messages")
    page.sees("No messages yet")
    own = [url for url in page.requests if url.startswith(session.url)]
    asked = next(n for n, url in enumerate(own) if "/api/messages" in url)
    assert asked < 40, own  # later the other screens are fetched, when nothing else is to be done
    for name in "abc":
        session.get(f"/{name}")
    page.page.wait_for_function("() => document.querySelectorAll('main .vrow').length === 3")
    # While the pointer is over the list, rows stay where they are: new ones are counted, and come when they are asked for.
    box = page.rows.nth(1).bounding_box()
    assert box
    page.page.mouse.move(box["x"] + 300, box["y"] + 10)
    first = page.rows.first.inner_text()
    session.get("/d")
    page.sees("1 new message")
    assert page.rows.count() == 3 and page.rows.first.inner_text().split("\n")[1] == first.split("\n")[1]
    page.press("n")
    page.page.wait_for_function("() => document.querySelectorAll('main .vrow').length === 4")
    assert page.shift == 0
    # A hidden tab asks for nothing, and catches up when it is seen again.
    hide = "on => { Object.defineProperty(document, 'hidden', {get: () => on, configurable: true}); document.dispatchEvent(new Event('visibilitychange')); }"
    page.page.evaluate(hide, True)
    page.page.mouse.move(5, 400)
    page.sees("paused", within=".strip")
    before = len(page.requests)
    session.get("/e")
    page.page.wait_for_timeout(500)  # longer than a page that is seen waits
    assert len(page.requests) == before
    page.page.evaluate(hide, False)
    page.page.wait_for_function("() => document.querySelectorAll('main .vrow').length === 5")
    # No request took anything from elsewhere, and the policy allows nothing else.
    policy = session.get(ROOT).headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "script-src 'self'" in policy


def test_bodies_are_shown_as_they_are(shared: DevServer, open_page: Open) -> None:
    session = shared
    send(session, "kept", text=json.dumps({"html": HTML}), contentType="json")
    send(session, "kept", text='{"id": 9007199254740993, "list": [1, 2]}', contentType="json")
    send(session, "kept", text="[" * DEEP + "]" * DEEP, contentType="text")
    send(session, "kept", text="x" * 127_990, contentType="text")
    send(session, "kept", base64="AP/+AQ==", contentType="bytes")
    binary, long, deep, big, html = messages(session, "queue:kept")[:5]
    page = open_page(session.url, "#/messages")
    page.sees("<script>window.pwned=2</script>")
    page.go(f"#/message/{html['id']}")
    page.sees("<script>window.pwned=2</script>", within=".jtree")
    page.page.get_by_role("tab", name="Text").click()
    page.sees("<b>bold</b>", within="pre")
    assert page.page.evaluate("window.pwned") is None
    page.go(f"#/message/{big['id']}")
    page.sees("9007199254740993", within=".jtree")
    page.sees("exact", within=".jtree")
    page.page.get_by_role("tab", name="Text").click()
    page.sees("9007199254740993", within="pre")
    page.go(f"#/message/{deep['id']}")
    page.page.locator(".jtree .vrow").first.wait_for()
    page.go(f"#/message/{long['id']}")
    page.page.wait_for_function("() => document.querySelector('main pre')?.textContent.length === 127990")
    page.go(f"#/message/{binary['id']}")
    page.sees("00 ff fe 01", within=".jtree")
    # The page's own reader of JSON takes what JSON is, refuses what is none, and changes no digit.
    read = """async texts => {
      const { parseExact, printExact } = await import('/cdn-cgi/wpy/exact_json.js');
      return texts.map((text) => { try { return printExact(parseExact(text)); } catch { return null; } });
    }"""
    for text, shown in zip(JSON_TEXTS, page.page.evaluate(read, JSON_TEXTS), strict=True):
        assert shown is not None and json.loads(shown) == json.loads(text), text
    assert page.page.evaluate(read, ["1.50e+3", "-0", "12345678901234567890.10"]) == [
        "1.50e+3",
        "-0",
        "12345678901234567890.10",
    ]
    assert page.page.evaluate(read, list(NO_JSON)) == [None] * len(NO_JSON)


def test_state_is_looked_at_and_mended(session: DevServer, open_page: Open) -> None:
    assert session.get("/seed").text == "seeded"
    page = open_page(session.url, "#/")
    page.press("g", "s")
    page.sees("120 keys")
    page.page.get_by_role("link", name="cache").click()
    page.rows.nth(1).wait_for()
    page.press("j", "j")
    page.sees("key-001", within="h2")
    page.sees("9007199254740993", within=".jtree")  # to the last digit
    page.button("Edit…").click()
    page.page.locator("dialog textarea").fill("mended")
    page.press("Control+Enter")
    page.sees("mended", within="main pre")
    page.button("Delete…").click()
    page.button("Delete", within="dialog", exact=True).click()
    page.sees("key-001 deleted.", within=".toasts")
    page.press("/")
    page.type("key-00")
    page.waits_for("() => document.querySelectorAll('main .vrow').length === 9")
    # Rows as they are stored, and SQL.
    page.go("#/state/d1/shop-id")
    page.sees("9007199254740993", within=".sql-rows")
    page.page.get_by_role("textbox", name="SQL").fill("INSERT INTO users VALUES (1, 'bob')")
    page.press("Control+Enter")
    page.sees("1 written")
    page.sees("bob", within=".sql-rows")
    # Folders of a bucket; what is in an object is text to the page.
    page.go("#/state/r2/files")
    page.page.locator(".vrow", has_text="photos/").click()
    page.page.locator(".vrow", has_text="cat.txt").click()
    page.sees("<b>miaow</b>", within="main pre")
    # An object by its name, and an instance of a workflow.
    page.go("#/state/objects/app/Room?q=lobby")
    page.rows.first.wait_for()
    page.press("j", "Enter")
    page.sees('"ada"', within=".jtree")
    page.sees("visits")
    page.go("#/state/workflows/order-flow")
    page.rows.first.wait_for()
    page.press("j", "Enter")
    page.button("Terminate", exact=True).click()
    page.sees("terminated", within=".page-head")
    # A fault: set, it strikes once, and is gone.
    page.press("g", "f")
    page.page.get_by_label("How often").fill("1")
    page.button("Set the fault").click()
    page.sees("fail batches", within=".state-list")
    session.get("/ada")
    session.wait_for("QUEUE jobs 0/1")
    page.sees("1×", within=".state-list")
    page.button("Take away").click()
    page.page.locator(".state-list").wait_for(state="detached")


def test_fifty_thousand_messages_and_ten_thousand_queues(session: DevServer, open_page: Open) -> None:
    for _ in range(5):
        send(session, "kept", text='{"user": {"id": {{i}}}}', count=10_000)
    page = open_page(session.url, "#/messages")
    page.sees("50,000 messages")
    scroller = page.page.locator("main .vlist")
    drawn = "() => document.querySelectorAll('main .vrow').length"
    assert page.page.evaluate(drawn) < 80
    scroller.evaluate("list => { list.scrollTop = 46 * 2500; }")  # a jump over what is not loaded yet
    page.page.wait_for_function(
        "() => [...document.querySelectorAll('main .vrow[aria-rowindex=\"2510\"]')].some(row => row.innerText.includes('user'))"
    )
    assert page.page.evaluate(drawn) < 80
    # The work of scrolling is in the rows that come into sight: steps of a screen, each within a frame or few.
    steps = """async list => {
      let slow = 0;
      for (let i = 0; i < 25; i++) {
        const began = performance.now();
        list.scrollTop = i * 1000;
        await new Promise(requestAnimationFrame);
        if (performance.now() - began > 250) slow += 1;
      }
      return slow;
    }"""
    assert scroller.evaluate(steps) < 16
    page.press("/")
    page.type("body.user.id:4242 ")
    page.page.wait_for_function("() => document.querySelectorAll('main .vrow').length === 5")
    page.sees('{"user": {"id": 4242}}')

    _ten_thousand_queues(session.state / "wpy.sqlite")
    page.go("#/queues")
    page.sees(re.compile("10,00. queues"))
    assert page.page.locator("main .vlist").evaluate(steps) < 16
    page.page.locator("main .vlist").evaluate("list => { list.scrollTop = 1e9; }")
    page.sees("tenant-09999")
    assert page.page.evaluate(drawn) < 80
    page.press("/")
    page.type("08765")
    page.page.wait_for_function("() => document.querySelectorAll('main .vrow').length === 1")
    page.go("#/")  # whose overview tells of those that are used, and not of all
    assert len(session.get(f"{ROOT}api/overview").body) < 200_000
    page.press("Control+k")
    page.page.locator(".palette input").fill("tenant-07654")
    page.sees("tenant-07654", within=".palette li")


def _ten_thousand_queues(database: Path) -> None:
    """More queues, as `wpy queues create` makes them, without starting a command for each."""
    connection = sqlite3.connect(database, timeout=30)
    with connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(queue)")]
        one = dict(zip(columns, connection.execute("SELECT * FROM queue LIMIT 1").fetchone(), strict=True))
        first = connection.execute("SELECT max(id) + 1 FROM queue").fetchone()[0]
        rows = [
            {
                **one,
                "id": first + n,
                "uuid": f"{n:032x}",
                "name": f"tenant-{n:05}",
                "backlog_count": 0,
                "backlog_bytes": 0,
            }
            for n in range(10_000)
        ]
        marks = ", ".join(f":{name}" for name in columns)
        connection.executemany(f"INSERT INTO queue ({', '.join(columns)}) VALUES ({marks})", rows)
    connection.close()


def test_the_page_outlives_its_session(project: Project, open_page: Open) -> None:
    project.config(CONFIG + bindings())
    project.code(CLASSES + CODE)
    server = project.start()
    port = server.url.rsplit(":", 1)[1]
    page = open_page(server.url, "#/queue/kept")
    page.sees("No messages")
    page.lenient = True
    server.stop()
    page.sees("The session does not answer")
    again = DevServer("--port", port, cwd=project.folder, state=project.state, port=None)
    project.servers.append(again)
    again.start()
    page.page.locator(".gone-bar").wait_for(state="detached")
    page.lenient = False
    # And can still do something, though the session's token is another one.
    page.lenient = True
    page.press("s")
    page.page.locator("dialog textarea").wait_for()
    page.press("Control+Enter")
    page.sees("1 message sent to kept", within=".toasts")
    page.sees("world")


def test_read_only_shows_and_changes_nothing(project: Project, open_page: Open) -> None:
    project.config(CONFIG + bindings())
    project.code(CLASSES + CODE)
    server = project.start("--readonly", "--clock", "virtual")
    server.get("/bob")
    page = open_page(server.url, "#/messages")
    page.sees("read-only", within=".strip")
    assert page.button("next event", within=".strip").is_disabled()
    page.rows.first.wait_for()
    page.press("j", "Enter")
    assert page.button("Replay", within=".page-head").first.is_disabled()
    page.press("R")  # does nothing, and says nothing false
    page.press("c")  # what it would be as a command can be had all the same
    page.sees("wpy command", within=".menu")


def test_a_foreign_page_can_read_and_change_nothing(shared: DevServer, browser: Any) -> None:
    session = shared
    send(session, "kept", text='{"secret": 1}', contentType="json")
    known, before = token(session), len(messages(session, "queue:kept"))
    with _foreign() as address:
        context = browser.new_context()
        page = context.new_page()
        page.goto(address)
        told = page.evaluate(
            """async ([url, token]) => {
              const told = {};
              const attempt = async (name, path, options) => {
                try { const r = await fetch(url + path, options); told[name] = r.type === 'opaque' ? 'opaque' : await r.text(); }
                catch (error) { told[name] = 'refused'; }
              };
              await attempt('page', '', {});
              await attempt('read', 'api/messages', {});
              await attempt('write', 'api/queues/kept/purge', {method: 'POST', body: '{}', headers: {'x-wpy-token': token}});
              await attempt('blind', 'api/queues/kept/purge', {method: 'POST', mode: 'no-cors', body: '{}'});
              await attempt('stream', 'api/events', {headers: {accept: 'text/event-stream'}});
              const script = document.createElement('script');
              told.script = await new Promise((done) => {
                script.onload = () => done('loaded'); script.onerror = () => done('refused');
                script.src = url + 'main.js'; document.head.append(script);
              });
              const frame = document.createElement('iframe');
              frame.src = url; document.body.append(frame);
              await new Promise((done) => { frame.onload = done; setTimeout(done, 500); });
              return told;
            }""",
            [session.url + ROOT, known],
        )
        assert told.pop("blind") in ("opaque", "refused")
        assert set(told.values()) == {"refused"}, told
        for frame in page.frames[1:]:
            assert not frame.locator("#app").count()
        context.close()
    assert len(messages(session, "queue:kept")) == before  # nothing was purged


class _foreign:
    """A page of another origin, on another port."""

    def __enter__(self) -> str:
        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(b"<!doctype html><title>elsewhere</title><body>")

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
