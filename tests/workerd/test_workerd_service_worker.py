"""Workers in the service worker format: a script that listens for its events."""

from __future__ import annotations

from js_project import JsProject

SCRIPT = """
    import banner from "./banner.txt";
    function sloppy() { undeclared = banner.trim(); return undeclared; }  // no module may do that
    addEventListener("fetch", (event) => event.respondWith(answer(event)));
    addEventListener("scheduled", (event) => event.waitUntil(NOTES.put("cron", event.cron + event.scheduledTime)));
    addEventListener("queue", (event) => event.waitUntil(work(event)));
    async function answer(event) {
      const { pathname } = new URL(event.request.url);
      if (pathname === "/send") event.waitUntil(JOBS.send({ by: event.request.method }));
      if (pathname === "/boom") throw new RangeError("boom");
      return Response.json([sloppy(), GREETING, await NOTES.get("cron"), await NOTES.get("job"), pathname]);
    }
    async function work({ queue, messages, retryAll }) {
      if (messages[0].attempts === 1) throw new Error("not yet");
      await NOTES.put("job", `${queue} ${JSON.stringify(messages[0].body)} ${messages[0].attempts}`);
    }
"""
CONFIG = {
    "vars": {"GREETING": "hello"},
    "triggers": {"crons": ["5 4 * * *"]},
    "kv_namespaces": [{"binding": "NOTES", "id": "notes"}],
    "queues": {
        "producers": [{"binding": "JOBS", "queue": "jobs"}],
        "consumers": [{"queue": "jobs", "max_batch_timeout": 0}],
    },
}


def test_a_script_hears_requests_batches_and_crons(js: JsProject) -> None:
    js.worker(SCRIPT, CONFIG, main="worker.js")
    js.write("edge/banner.txt", "a banner\n")
    server = js.start()
    assert server.post("/send").json()[:2] == ["a banner", "hello"]
    server.wait_for("queue jobs .*Error: not yet")
    server.wait_for(r"at work \(worker\.js:14:")
    server.wait_for("QUEUE jobs 1/1")
    assert server.get("/cdn-cgi/handler/scheduled?cron=5+4+*+*+*&time=7").text == "ok"
    assert server.get("/").json() == ["a banner", "hello", "5 4 * * *7", 'jobs {"by":"POST"} 2', "/"]
    boom = server.get("/boom")
    assert (boom.status, boom.text.split("\n")[0]) == (500, "RangeError: boom")

    # As it stands, without esbuild.
    seen = len(server.output.splitlines())
    js.worker(
        SCRIPT.replace('import banner from "./banner.txt";', 'var banner = "b";'),
        {**CONFIG, "no_bundle": True},
        main="worker.js",
    )
    server.wait_for('Reloaded worker "edge"', after=seen)
    assert server.get("/").json()[0] == "b"

    # It hears of nothing that happens to Workers.
    seen = len(server.output.splitlines())
    js.worker('addEventListener("unhandledrejection", () => {});', CONFIG, main="worker.js")
    server.wait_for(r"No event handlers were registered\. This script does nothing\.", after=seen)
