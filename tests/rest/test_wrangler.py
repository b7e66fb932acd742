"""Real wrangler against a session: every `queues` command, its exit code and the lines it prints. Cases 108, 109, 111, 112.

Needs Node and wrangler: the one in WPY_WRANGLER, else that of bench/node_modules, else one on PATH.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .api import ACCOUNT, Api, session
from .test_auth import own_address

ROOT = Path(__file__).parents[2]
COLOR = re.compile(r"\x1b\[[0-9;]*m")


def find_wrangler() -> str | None:
    local = ROOT / "bench" / "node_modules" / ".bin" / "wrangler"
    return os.environ.get("WPY_WRANGLER") or (str(local) if local.exists() else shutil.which("wrangler"))


WRANGLER = find_wrangler()
pytestmark = [
    pytest.mark.skipif(
        WRANGLER is None, reason="needs wrangler: set WPY_WRANGLER, or run `npm install` in bench/, or put it on PATH"
    ),
    pytest.mark.timeout(300),  # a command takes one or two seconds, most of them Node's
]


@dataclass
class Done:
    """One command that has ended."""

    code: int
    output: str

    def said(self, *lines: str) -> None:
        """It succeeded and printed these texts, in this order."""
        assert self.code == 0, self.output
        self._printed(lines)

    def refused(self, *lines: str) -> None:
        """It failed with exit code 1 and printed these texts."""
        assert self.code == 1, self.output
        assert "[ERROR]" in self.output
        self._printed(lines)

    def _printed(self, lines: tuple[str, ...]) -> None:
        position = 0
        for line in lines:
            found = self.output.find(line, position)
            assert found >= 0, f"{line!r} is not in (the rest of)\n{self.output}"
            position = found + len(line)

    def table(self, column: str) -> list[str]:
        """What the boxes of a printed table hold in one column."""
        rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in self.output.splitlines() if "│" in line]
        place = rows[0].index(column)
        return [row[place] for row in rows[1:]]


class Wrangler:
    """Runs `wrangler queues ...` in a folder of its own, against one session."""

    def __init__(self, api: Api, folder: Path, **env: str | None) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        settings = {
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "WRANGLER_SEND_METRICS": "false",
            "WRANGLER_LOG_PATH": str(folder / "logs"),
            "WRANGLER_CACHE_DIR": str(folder / "cache"),
            "npm_config_registry": "http://127.0.0.1:9",  # it would ask there for a newer version of itself
            "NO_COLOR": "1",
            "CLOUDFLARE_API_BASE_URL": api.base,
            "CLOUDFLARE_API_TOKEN": "test-token",
            "CLOUDFLARE_ACCOUNT_ID": ACCOUNT,
            **env,
        }
        self.env = {**kept, **{name: value for name, value in settings.items() if value is not None}}

    def __call__(self, command: str) -> Done:
        assert WRANGLER is not None
        done = subprocess.run(
            [WRANGLER, *command.split()],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
        )
        return Done(done.returncode, COLOR.sub("", done.stdout.decode()))


@pytest.fixture
def wrangler(api: Api, tmp_path: Path) -> Iterator[Wrangler]:
    yield Wrangler(api, tmp_path / "elsewhere")


def test_create_list_info_108(api: Api, wrangler: Wrangler) -> None:
    wrangler("queues list").said("jobs")
    wrangler("queues create q1").said("Creating queue 'q1'", "Created queue 'q1'", '"queue": "q1"', '"binding": "q1"')
    wrangler("queues create q2 --delivery-delay-secs 60 --message-retention-period-secs 3600").said(
        "Created queue 'q2'"
    )
    settings = api.existing("q2").get().result["settings"]
    assert settings == {"delivery_delay": 60, "delivery_paused": False, "message_retention_period": 3600}
    wrangler("queues create q1").refused(
        f"A request to the Cloudflare API (/accounts/{ACCOUNT}/queues) failed.",
        "Queue name 'q1' is already taken. Please use a different name and try again. [code: 11009]",
    )
    wrangler("queues create Bad_Name").refused("Queue name 'Bad_Name' is invalid:", "[code: 11003]")
    wrangler("queues create q3 --delivery-delay-secs 86401").refused("Invalid --delivery-delay-secs value: 86401")
    wrangler("queues create q3 --delivery-delay-secs abc").refused("The specified queue settings are invalid.")
    listed = wrangler("queues list")
    listed.said("id", "name", "created_on", "modified_on", "producers", "consumers")
    assert listed.table("name") == ["jobs", "q1", "q2"]
    assert listed.table("producers") == ["1", "0", "0"]
    assert listed.table("id")[1] == api.existing("q1").id
    empty = wrangler("queues list --page 2")
    empty.said()
    assert "│" not in empty.output
    wrangler("queues info q1").said(
        "Queue Name: q1",
        f"Queue ID: {api.existing('q1').id}",
        "Created On: 2026-03-01T00:00:00.000000Z",
        "Last Modified: 2026-03-01T00:00:00.000000Z",
        "Number of Producers: 0",
        "Number of Consumers: 0",
    )
    wrangler("queues info jobs").said("Producers: worker:app", "Consumers: worker:app")
    wrangler("queues info missing").refused(
        'Queue "missing" does not exist. To create it, run: wrangler queues create missing'
    )


def test_update_pause_purge_delete_108(api: Api, wrangler: Wrangler) -> None:
    queue = api.queue("changed", delivery_delay=1, message_retention_period=600)
    settings = {"delivery_delay": 5, "delivery_paused": False, "message_retention_period": 600}
    wrangler("queues update changed --delivery-delay-secs 5").said("Updating queue changed.", "Updated queue changed.")
    assert queue.get().result["settings"] == settings
    wrangler("queues update changed").said("Updated queue changed.")
    assert queue.get().result["settings"] == settings
    wrangler("queues update changed --message-retention-period-secs 59").refused("Must be between 60 and 1209600")
    wrangler("queues pause-delivery changed").said(
        "Pausing message delivery for queue changed.", "Paused message delivery for queue changed."
    )
    assert queue.get().result["settings"] == {**settings, "delivery_paused": True}
    wrangler("queues resume-delivery changed").said(
        "Resuming message delivery for queue changed.", "Resumed message delivery for queue changed."
    )
    assert queue.get().result["settings"] == settings
    queue.push("a", "b")
    wrangler("queues purge changed").refused("The --force flag is required to purge a Queue in non-interactive mode")
    assert queue.backlog() == (2, 2)
    wrangler("queues purge changed --force").said("Purged Queue 'changed'")
    assert queue.backlog() == (0, 0)
    wrangler("queues delete jobs").refused("Cannot delete queue 'jobs' that is still referenced", "[code: 11005]")
    wrangler("queues delete changed").said("Deleting queue changed.", "Deleted queue changed.")
    wrangler("queues delete changed").refused('Queue "changed" does not exist.')


def test_worker_consumers_108(api: Api, wrangler: Wrangler) -> None:
    queue = api.queue("worked")
    added = ("Adding consumer to queue worked.", "Added consumer to queue worked.")
    removed = ("Removing consumer from queue worked.", "Removed consumer from queue worked.")
    wrangler("queues consumer list worked").said('No consumers found for queue "worked".')
    wrangler("queues consumer add worked my-worker").said(*added)
    wrangler("queues consumer add worked my-worker").refused(
        "Queue 'worked' already has a consumer. [code: 11004]",
    )
    wrangler("queues consumer remove worked other").refused("No worker consumer 'other' exists for queue worked")
    wrangler("queues consumer http remove worked").refused("No http_pull consumer exists for queue worked")
    wrangler("queues consumer remove worked my-worker").said(*removed)
    wrangler(
        "queues consumer worker add worked my-worker --batch-size 25 --batch-timeout 0 --message-retries 0 "
        "--dead-letter-queue worked-dlq --max-concurrency 4 --retry-delay-secs 0"
    ).said(*added)
    (consumer,) = queue.get("/consumers").result
    assert consumer["dead_letter_queue"] == "worked-dlq"
    assert consumer["settings"] == {
        "batch_size": 25,
        "max_retries": 0,
        "max_wait_time_ms": 0,
        "max_concurrency": 4,
        "retry_delay": 0,
    }
    listed = wrangler("queues consumer list worked")
    listed.said("Worker consumers:")
    assert listed.table("consumer_id") == [consumer["consumer_id"]]
    assert listed.table("script") == ["my-worker"]
    wrangler("queues consumer http list worked").said('No HTTP pull consumers found for queue "worked".')
    assert wrangler("queues consumer worker list worked").table("max_concurrency") == ["4"]
    wrangler("queues info worked").said("Consumers: worker:my-worker")
    wrangler("queues consumer worker remove worked my-worker").said(*removed)
    wrangler("queues consumer add worked my-worker --batch-size 101").refused("batch_size", "[code: 100127]")
    wrangler("queues consumer remove jobs app").refused("queues.consumers")


def test_pull_consumers_108_111(api: Api, wrangler: Wrangler) -> None:
    queue = api.queue("pulled")
    added = ("Adding consumer to queue pulled.", "Added consumer to queue pulled.")
    wrangler("queues consumer http add pulled").said(*added)
    wrangler("queues consumer worker list pulled").said('No worker consumers found for queue "pulled".')
    wrangler("queues consumer http remove pulled").said("Removed consumer from queue pulled.")
    wrangler(
        "queues consumer http add pulled --batch-size 7 --message-retries 2 --dead-letter-queue pulled-dlq "
        "--visibility-timeout-secs 12 --retry-delay-secs 3"
    ).said(*added)
    (consumer,) = queue.get("/consumers").result
    settings = {"batch_size": 7, "max_retries": 2, "visibility_timeout_ms": 12000, "retry_delay": 3}
    assert (consumer["settings"], consumer["dead_letter_queue"]) == (settings, "pulled-dlq")
    listed = wrangler("queues consumer list pulled --json")
    assert listed.code == 0
    assert json.loads(listed.output) == [consumer]
    listed = wrangler("queues consumer list pulled")
    listed.said("HTTP pull consumers:")
    assert listed.table("visibility_timeout_ms") == ["12000"]
    wrangler("queues info pulled").said("Consumers: HTTP Pull Consumer.", "curl ", queue.id, "/messages/pull")
    wrangler("queues delete pulled-dlq").refused("serves as dead letter queue for consumers", "[code: 11005]")


def test_subscriptions_112(api: Api, wrangler: Wrangler) -> None:
    api.queue("subscribed"), api.queue("another")
    made = wrangler("queues subscription create subscribed --source kv --events namespace.created,namespace.deleted")
    made.said("Creating event subscription for queue 'subscribed'...", "event subscription 'subscribed kv' with id '")
    identity = re.search("with id '([0-9a-f]{32})'", made.output)[1]
    listed = wrangler("queues subscription list subscribed")
    listed.said("Event subscriptions for queue 'subscribed':")
    assert listed.table("ID") == [identity]
    assert listed.table("Events") == ["namespace.created, namespace.deleted"]
    assert listed.table("Enabled") == ["Yes"]
    wrangler("queues subscription list another").said("No event subscriptions found for queue 'another'.")
    wrangler(f"queues subscription get subscribed --id {identity}").said(identity, "subscribed kv")
    got = wrangler(f"queues subscription get subscribed --id {identity} --json")
    assert json.loads(got.output)["events"] == ["namespace.created", "namespace.deleted"]
    wrangler(f"queues subscription get another --id {identity}").refused("does not belong to queue 'another'")
    wrangler(f"queues subscription get subscribed --id {'0' * 32}").refused("No subscription with this ID")
    wrangler(f"queues subscription update subscribed --id {identity} --enabled false").said(
        "Updating event subscription...", "Successfully updated"
    )
    assert wrangler("queues subscription list subscribed").table("Enabled") == ["No"]
    wrangler(f"queues subscription delete subscribed --id {identity} --force").said("Successfully deleted")
    wrangler("queues subscription list subscribed").said("No event subscriptions found")


def test_without_an_account_id_109(api: Api, tmp_path: Path) -> None:
    """109: the account is asked for, and once."""
    wrangler = Wrangler(api, tmp_path / "elsewhere", CLOUDFLARE_ACCOUNT_ID=None)
    wrangler("queues list").said("jobs")
    cached = json.loads((wrangler.folder / "cache" / "wrangler-account.json").read_text())
    assert cached["account"]["id"] == api.get("/client/v4/memberships").result[0]["account"]["id"]
    wrangler("queues list").said("jobs")
    Wrangler(api, tmp_path / "local", CLOUDFLARE_ACCOUNT_ID="local")("queues list").said("jobs")


def test_with_email_and_key(api: Api, tmp_path: Path) -> None:
    env = {"CLOUDFLARE_API_TOKEN": None, "CLOUDFLARE_EMAIL": "ada@example.com", "CLOUDFLARE_API_KEY": "k"}
    Wrangler(api, tmp_path / "elsewhere", **env)("queues list").said("jobs")


def test_with_a_wrong_token(tmp_path: Path) -> None:
    with session(tmp_path / "project", "--ip", own_address(), env={"WPY_API_TOKEN": "s3cret"}) as api:
        Wrangler(api, tmp_path / "a", CLOUDFLARE_API_TOKEN="wrong")("queues list").refused(
            "Authentication error [code: 10000]"
        )
        Wrangler(api, tmp_path / "b", CLOUDFLARE_API_TOKEN="s3cret")("queues list").said("jobs")


def test_triggers_deploy_108(api: Api, wrangler: Wrangler) -> None:
    """What a deploy does about queues: it makes the consumers, and the second time replaces them."""
    for name in ("deploy-1", "deploy-2"):
        api.queue(name)
    (wrangler.folder / "src").mkdir()
    (wrangler.folder / "src" / "index.js").write_text("export default { async queue() {} }")
    (wrangler.folder / "wrangler.toml").write_text(
        """
        name = "w"
        main = "src/index.js"
        compatibility_date = "2026-03-01"
        workers_dev = false
        queues.producers = [{ binding = "Q1", queue = "deploy-1" }, { binding = "Q2", queue = "deploy-2" }]
        [[queues.consumers]]
        queue = "deploy-1"
        max_batch_size = 10
        max_retries = 4
        max_batch_timeout = 30
        max_concurrency = 2
        retry_delay = 9
        dead_letter_queue = "deploy-dlq"
        [[queues.consumers]]
        queue = "deploy-2"
        """
    )
    lines = ("Producer for deploy-1", "Producer for deploy-2", "Consumer for deploy-1", "Consumer for deploy-2")
    wrangler("triggers deploy").said(*lines)
    (first,) = api.existing("deploy-1").get("/consumers").result
    assert (first["script"], first["dead_letter_queue"]) == ("w", "deploy-dlq")
    assert first["settings"] == {
        "batch_size": 10,
        "max_retries": 4,
        "max_wait_time_ms": 30000,
        "max_concurrency": 2,
        "retry_delay": 9,
    }
    wrangler("triggers deploy").said(*lines)
    assert api.existing("deploy-1").get("/consumers").result == [first]
    api.delete(f"/queues/{api.existing('deploy-2').id}")
    wrangler("triggers deploy").refused('Queue "deploy-2" does not exist.')
