"""The dashboard's API, over HTTP, from a real session under a virtual clock."""

from __future__ import annotations

import http.client
import json
import re

import jsonschema
import pytest

from .conftest import API, Api, Stream


def test_one_trace_from_the_request_to_the_replay_of_the_dead_letter(api: Api):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    message = api.send({"do": "retry", "who": "traced"}, traceparent=f"00-{trace}-00f067aa0ba902b7-01")
    api.advance(60)
    found = api.get(f"messages/{message}")
    assert (found["state"], found["queue"], found["diedIn"], found["traceId"]) == ("dead", "mail-dead", "mail", trace)
    assert [(a["attempt"], a["action"], a["delaySeconds"]) for a in found["attempts"]] == [
        (1, "retry", 10),
        (2, "retry", 20),
        (3, "dead_letter", 0),
    ]
    assert re.fullmatch(
        r"retried in 10 s: message.retry\(\) was called at src/entry.py:\d+", found["attempts"][0]["why"]
    )
    assert found["attempts"][0]["logs"][0]["text"] == "handling retry"
    assert found["lineage"]["parent"]["label"] == "POST /send"
    states = [step["state"] for step in found["path"]]
    assert states[:5] == ["sent", "ready", "in_flight", "retrying", "ready"] and states[-1] == "dead"
    replayed = api.post("messages/replay", {"ids": [message], "text": '{"do": "nothing"}'})["messages"][0]
    assert (replayed["replayedFrom"], replayed["queue"]) == (message, "mail") and replayed["id"] != message
    api.advance(5)
    assert api.get(f"messages/{replayed['id']}")["state"] == "acked"
    assert api.get(f"messages/{message}")["lineage"]["replays"] == [replayed["id"]]
    spans = api.get(f"traces/{trace}")["spans"]
    assert [s["kind"] for s in spans if s["kind"] not in ("queued", "delay")] == [
        *("request", "message", "attempt", "attempt", "attempt", "deadLetter", "replay", "attempt")
    ]
    waits = [s["endMs"] - s["startMs"] for s in spans if s["kind"] == "delay" and s["parent"] == message]
    assert waits == [10_000, 20_000], "growing waits"
    assert all(s["waiting"] for s in spans if s["kind"] in ("queued", "delay"))
    assert spans[0]["parent"] is None and all(s["parent"] in {o["id"] for o in spans} for s in spans[1:])


def test_a_handler_that_raises_is_explained_and_grouped(api: Api):
    first = api.send({"do": "raise"})
    api.advance(10)
    attempt = api.get(f"messages/{first}")["attempts"][0]
    assert attempt["error"] == f"ValueError: cannot do {first}"
    assert attempt["traceback"].startswith("Traceback") and attempt["where"].startswith("src/entry.py:")
    second = api.send({"do": "raise"})
    api.advance(10)
    (group,) = [g for g in api.get("failures")["failures"] if g["type"] == "ValueError"]
    assert group["count"] == 6 and group["sinceReload"] == 6, "three attempts each, in one group for one line"
    assert set(group["messageIds"]) == {first, second} and group["where"] == attempt["where"]
    assert {row["id"] for row in api.find("error:ValueError state:dead")} == {first, second}


def test_what_a_batch_sends_is_its_child(api: Api):
    message = api.send({"do": "send"})
    api.advance(2)
    found = api.get(f"messages/{message}")
    (child,) = found["lineage"]["children"]
    assert child["queue"] == "slow"
    shown = api.get(f"messages/{child['id']}")
    assert shown["traceId"] == found["traceId"]
    parent = shown["lineage"]["parent"]
    assert (parent["kind"], parent["messages"]) == ("batch", [message])
    batch = api.get(f"batches/{parent['spanId']}")
    assert [m["action"] for m in batch["messages"]] == ["ack"] and batch["children"] == [child]


def test_search_and_paging(api: Api):
    api.server.get("/slow")
    everything = api.get("messages?queue=slow&q=user&limit=1000")
    assert everything["total"] == len(everything["rows"]) >= 100
    assert [row["preview"] for row in api.find("body.user.id:42", queue="slow")] == ['{"n":42,"user":{"id":42}}']
    assert api.find('"no such words"') == [] and api.find("body.n:4 -body.user.id:4 queue:slow") == []
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = api.get(f"messages?queue=slow&q=user&limit=30&cursor={cursor}")
        seen += [row["id"] for row in page["rows"]]
        cursor = page["cursor"]
    assert seen == [row["id"] for row in everything["rows"]]
    oldest = api.get("messages?queue=slow&q=user&order=oldest&limit=1000")["rows"]
    assert [row["id"] for row in oldest] == seen[::-1]
    for wrong in (
        "messages?state=lost",
        "messages?q=attempts:many",
        'messages?q="open',
        "messages?limit=0",
        "messages?cursor=x",
    ):
        assert api.get(wrong, 400)["error"]


def test_actions_on_messages(api: Api):
    message = api.send({"do": "retry", "who": "acted on"})
    api.advance(2)
    assert api.get(f"messages/{message}")["state"] == "retrying"
    assert api.post("messages/retry", {"ids": [message]})["count"] == 1
    api.advance(1)
    assert api.get(f"messages/{message}")["attemptCount"] == 2, "it did not wait for its delay"
    done = api.post("messages/discard", {"q": '"acted on"'})
    assert done["count"] == 1 and api.get(f"messages/{message}")["state"] == "discarded"
    assert api.post("messages/undo", {"undo": done["undo"]})["count"] == 1
    assert api.get(f"messages/{message}")["state"] == "retrying"
    assert "any more" in api.post("messages/undo", {"undo": done["undo"]}, 409)["error"]
    api.advance(60)
    before = api.get("queues/mail-dead")["counts"]["dead"]
    moved = api.post("queues/mail-dead/redrive", {"ids": [message]})
    assert (moved["count"], moved["byQueue"], moved["left"]) == (1, {"mail": 1}, 0)
    assert api.get("queues/mail-dead")["counts"]["dead"] == before - 1
    assert api.get(f"messages/{message}")["queue"] == "mail"
    api.post("messages/discard", {"ids": [message]})


def test_actions_on_queues(api: Api):
    assert api.post("queues/mail/pause")["paused"] is True
    assert api.post("queues/mail/send", {"text": '{"do": "{{i}}"}', "count": 3, "delaySeconds": 5})["count"] == 3
    api.advance(10)
    assert [row["state"] for row in api.find("body.do:1 queue:mail")] == ["ready"], "paused"
    assert api.post("queues/mail/resume")["paused"] is False
    api.advance(2)
    assert api.find("body.do:1 queue:mail")[0]["state"] == "acked"
    api.post("queues/slow/send", {"text": "plain", "contentType": "text"})
    assert api.post("queues/slow/purge")["count"] >= 1
    assert api.find("plain queue:slow")[0]["state"] == "purged"
    assert "not JSON" in api.post("queues/mail/send", {"text": "{"}, 400)["error"]
    assert "no queue" in api.post("queues/nothing/send", {"text": "1"}, 404)["error"]
    assert api.post("queues/mail/send", {"text": json.dumps("x" * 128_000)}, 400)["error"]


def test_settings_say_where_they_come_from(api: Api):
    settings = {s["key"]: s for s in api.get("queues/mail")["settings"]}
    lines = (api.server.cwd / "wrangler.toml").read_text().splitlines()
    retries = settings["max_retries"]
    assert (retries["value"], retries["default"]) == (2, 3)
    file, _, line = retries["source"].partition(":")
    assert file == "wrangler.toml" and lines[int(line) - 1] == "max_retries = 2"
    assert settings["max_batch_size"]["source"] == "default" and settings["max_concurrency"]["value"] == "auto"


def test_crons(api: Api):
    (cron,) = api.get("crons")["crons"]
    assert cron["cron"] == "*/30 * * * *" and len(cron["next"]) == 5 and cron["words"]
    at = cron["next"][0] - 7_200_000
    run = api.post("crons/trigger", {"cron": cron["cron"], "timeMs": at})
    assert run["outcome"] == "ok"
    planned = api.post("crons/backfill", {"cron": cron["cron"], "fromMs": at, "toMs": at + 3_600_000})
    assert planned["times"] == [at, at + 1_800_000, at + 3_600_000] and len(planned["runs"]) == 3
    times = [at + 3_600_000, at + 1_800_000, at, at]
    api.until("crons/runs?limit=4", lambda told: [r["scheduledMs"] for r in told["runs"]] == times)
    assert [bar["outcome"] for bar in api.get("crons")["crons"][0]["strip"][-4:]] == ["ok"] * 4
    month = api.get("crons/calendar?month=2026-02")
    assert [day["runs"] for day in month["days"]] == [48] * 28


def test_exact_bodies(api: Api):
    nasty = '{"n":9007199254740993,"html":"<script>alert(1)</script>","deep":' + "[" * 200 + "]" * 200 + "}"
    api.post("queues/slow/send", {"text": nasty})
    row = api.find("9007199254740993")[0]
    assert api.get(f"messages/{row['id']}")["body"]["text"] == nasty
    assert [r["id"] for r in api.find("body.n:9007199254740993")] == [row["id"]] and not api.find(
        "body.n:9007199254740992"
    )
    api.post("queues/slow/send", {"base64": "/wABAv8=", "contentType": "bytes"})
    body = api.get(f"messages/{api.find('', queue='slow')[0]['id']}")["body"]
    assert (body["text"], body["base64"]) == (None, "/wABAv8=")


def test_failed_requests_and_wait_until_work(api: Api):
    assert api.server.get("/boom").status == 500
    told = api.until("failures", lambda told: [g for g in told["failures"] if g["type"] == "RuntimeError"])
    (group,) = [g for g in told["failures"] if g["type"] == "RuntimeError"]
    assert (group["message"], group["kind"]) == ("boom in fetch", "request")
    api.server.get("/later")
    tasks = api.until("tasks", lambda told: told["tasks"] and told["tasks"][0]["endedMs"] is not None)["tasks"]
    assert (tasks[0]["label"], tasks[0]["outcome"], tasks[0]["overMs"]) == ("GET /later", "ok", 0)
    api.until("logs?q=LATER", lambda told: any(log["text"] == "later is done" for log in told["logs"]))


def test_answers_are_as_the_openapi_document_says(api: Api):
    document = api.get("openapi.json")
    message = api.send({"do": "nothing"})
    api.advance(3)
    row = api.until(f"messages/{message}", lambda told: told["attempts"])
    ids = {"name": "mail", "traces": row["traceId"], "messages": message, "batches": row["attempts"][0]["batch"]}
    checked = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
            jsonschema.Draft202012Validator.check_schema(schema)
            if method != "get" or path.startswith("/state/"):  # test_state.py
                continue
            real = path.strip("/").replace("{name}", "mail").replace("{id}", ids.get(path.split("/")[1], ""))
            jsonschema.validate(api.get(real), schema)
            checked += 1
    assert checked >= 20
    answer = api.post("queues/mail/send", {"text": "{}"})
    jsonschema.validate(
        answer,
        document["paths"]["/queues/{name}/send"]["post"]["responses"]["200"]["content"]["application/json"]["schema"],
    )


def test_every_action_offers_its_other_forms_without_being_done(api: Api):
    before = api.get("queues/mail")["backlog"]
    reply = api.reply("queues/mail/send", {"preview": True, "text": '{"a": 1}'})
    assert reply.status == 200 and api.get("queues/mail")["backlog"] == before
    also = reply.json()["also"]
    assert also["cli"] == "wpy queues send mail '{\"a\": 1}' --content-type json"
    assert also["pytest"] == "await wpy.queues['mail'].send({'a': 1})"
    assert f"{api.server.url}{API}/queues/mail/send" in also["curl"]
    assert api.reply("clock/advance", {"preview": True, "seconds": 60}).json()["also"]["cli"] == "wpy clock advance 60s"


# Who may --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example"},
        {"Origin": "http://attacker.example"},
        {"Origin": "http://localhost:1"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    ],
)
def test_foreign_pages_read_and_change_nothing(api: Api, headers: dict[str, str]):
    given = {**headers, "X-Wpy-Token": api.token, "Content-Type": "application/json"}
    for method, path in (("GET", "/cdn-cgi/wpy/"), ("GET", f"{API}/overview"), ("POST", f"{API}/queues/slow/purge")):
        if headers.get("Sec-Fetch-Mode") == "navigate":
            continue
        connection = http.client.HTTPConnection("127.0.0.1", int(api.server.url.rsplit(":", 1)[1]), timeout=30)
        connection.request(method, path, b"{}" if method == "POST" else None, given)
        reply = connection.getresponse()
        text = reply.read().decode()
        connection.close()
        assert reply.status == 403 and api.token not in text and reply.getheader("access-control-allow-origin") is None


def test_what_changes_something_needs_the_token(api: Api):
    for token in (None, "wrong"):
        assert api.reply("queues/slow/purge", {}, token).status == 401
    assert api.reply("clock/advance", {"seconds": 1}).status == 401
    done = api.server.wpy("events", "token")
    assert api.reply("queues/slow/resume", {}, done.strip()).status == 200, "the commands' token is as good"
    assert api.get("nothing", 404)["error"] and api.get("queues/nothing", 404)["error"]


def test_the_page_comes_with_a_strict_policy(api: Api):
    page = api.server.get("/cdn-cgi/wpy/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert page.headers["cache-control"] == "no-store" and "{{" not in page.text
    assert re.search(r"<script(?![^>]*\ssrc=)", page.text) is None, "no inline script"
    assert api.server.get("/cdn-cgi/wpy/messages/abc").text == page.text, "the page's own routes"
    for path in ("..%2foverview.py", "..%5c..%5cpyproject.toml", "nothing.js", "a//b.js"):
        assert api.server.get(f"/cdn-cgi/wpy/{path}").status == 404


def test_prometheus_reads_the_figures(api: Api):
    reply = api.server.get("/cdn-cgi/wpy/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = dict(line.rsplit(" ", 1) for line in reply.text.splitlines() if not line.startswith("#"))
    assert samples['wpy_worker_up{worker="app"}'] == "1"
    assert int(samples['wpy_recorded_messages{queue="mail",state="acked"}']) >= 1
    assert all(float(value) >= 0 for value in samples.values())


# The stream of changes ------------------------------------------------------------------------------------------------


def test_the_stream_tells_of_changes_and_goes_on_where_it_was_left(api: Api):
    stream = Stream(api)
    first = stream.frame("change")
    assert first["events"] == [] and first["id"] == str(first["seq"])
    api.send({"do": "nothing"})
    change = stream.frame("change")
    assert change["kinds"]["message.sent"] == 1 and "mail" in change["queues"] and change["counts"]["ready"] >= 1
    api.advance(2)
    assert stream.frame("clock")["frozen"] is True
    stream.connection.close()
    resumed = Stream(api, first["seq"])
    missed = resumed.frame("change")
    assert missed["events"][0]["seq"] > first["seq"]
    assert {"message.sent", "batch.finished"} <= {event["kind"] for event in missed["events"]}
    resumed.connection.close()
    other = Stream(api, 1 << 40)
    assert other.frame("reset")["seq"] >= missed["seq"], "what that client knows is of another record"
    other.connection.close()
