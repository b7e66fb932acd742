"""`wpy queues subscription ...`, with wrangler's options and texts, and the pages of `wpy queues list`."""

import re

MADE = re.compile(r"✨ Successfully created event subscription '(.+)' with id '([0-9a-f]{32})'\.")


def make(project, *more: str) -> str:
    done = project.queues(
        "subscription", "create", "q1", "--source", "kv", "--events", "namespace.created, namespace.deleted", *more
    )
    assert (done.code, done.lines[0]) == (0, "Creating event subscription for queue 'q1'...")
    found = MADE.fullmatch(done.lines[1])
    assert found is not None, done.lines
    return found[2]


def test_from_create_to_delete(project):
    project.queues("create", "q1")
    project.queues("create", "q2")
    made = make(project)
    (listed,) = project.queues("subscription", "list", "q1", "--json").json
    assert listed["id"] == made
    assert (listed["name"], listed["enabled"], listed["source"]) == ("q1 kv", True, {"type": "kv"})
    assert listed["events"] == ["namespace.created", "namespace.deleted"]
    header, row = project.queues("subscription", "list", "q1").lines[1:]
    assert header.split() == ["ID", "Name", "Source", "Events", "Resource", "Enabled"]
    assert row.split() == [made, "q1", "kv", "kv", "namespace.created,", "namespace.deleted", "Yes"]
    got = project.queues("subscription", "get", "q1", "--id", made)
    assert got.lines[:3] == [f"ID:           {made}", "Name:         q1 kv", "Source:       kv"]
    assert project.queues("subscription", "get", "q1", "--id", made, "--json").json == listed
    other = project.queues("subscription", "get", "q2", "--id", made)
    assert other.code == 1
    assert "does not belong to queue 'q2'" in other.err
    changed = project.queues("subscription", "update", "q1", "--id", made, "--enabled", "false", "--name", "mine")
    assert changed.lines == [
        "Updating event subscription...",
        f"✨ Successfully updated event subscription 'mine' with id '{made}'.",
    ]
    assert project.queues("subscription", "get", "q1", "--id", made, "--json").json["enabled"] is False
    refused = project.queues("subscription", "delete", "q1", "--id", made)
    assert (refused.code, "--force" in refused.err) == (1, True)
    gone = project.queues("subscription", "delete", "q1", "--id", made, "--force")
    assert gone.lines == [f"✨ Successfully deleted event subscription 'mine' with id '{made}'."]
    assert project.queues("subscription", "list", "q1").lines == ["No event subscriptions found for queue 'q1'."]


def test_a_source_with_a_resource(project):
    project.queues("create", "q1")
    without = project.queues("subscription", "create", "q1", "--source", "workflows.workflow", "--events", "x")
    assert (without.code, without.out) == (1, "")
    assert "--workflow-name is required when using source 'workflows.workflow'" in without.err
    done = project.queues(
        *("subscription", "create", "q1", "--source", "workflows.workflow", "--events", "x", "--json"),
        *("--workflow-name", "wf", "--name", "named", "--enabled", "false"),
    )
    assert done.json["source"] == {"type": "workflows.workflow", "workflow_name": "wf"}
    assert (done.json["name"], done.json["enabled"]) == ("named", False)
    assert "Resource:     wf" in project.queues("subscription", "get", "q1", "--id", done.json["id"]).lines


REFUSED = [
    (("create", "q1", "--source", "kv", "--events", " , "), "No events specified."),
    (("create", "q1", "--source", "else", "--events", "x"), "'else' is not one of"),
    (("create", "nope", "--source", "kv", "--events", "x"), "nope"),
    (("list", "nope"), "nope"),
    (("get", "q1", "--id", "0" * 32), "No subscription with this ID"),
    (("update", "q1", "--id", "0" * 32), "No fields specified for update."),
    (("update", "q1", "--id", "0" * 32, "--enabled", "maybe"), "--enabled takes true or false, not maybe"),
    (("delete", "q1", "--id", "0" * 32, "--force"), "No subscription with this ID"),
]


def test_what_is_refused(project):
    project.queues("create", "q1")
    for command, says in REFUSED:
        done = project.queues("subscription", *command)
        assert done.code in (1, 2), command
        assert says in done.err, command
    assert project.queues("subscription", "list", "q1", "--json").json == []


def test_twice_the_same_source(project):
    project.queues("create", "q1")
    make(project)
    again = project.queues("subscription", "create", "q1", "--source", "kv", "--events", "x")
    assert again.code == 1
    assert "does not support multiple subscriptions" in again.err


def test_pages_of_queues(project):
    producers = "".join(f'[[queues.producers]]\nbinding = "Q{n:02}"\nqueue = "q{n:02}"\n' for n in range(21))
    project.toml(producers)
    every, first, second = (
        [queue["queue_name"] for queue in project.queues("list", *page, "--json").json]
        for page in ((), ("--page", "1"), ("--page", "2"))
    )
    assert {f"q{n:02}" for n in range(21)} <= set(every)
    assert (len(first), first + second) == (20, every)
    beyond = project.queues("list", "--page", "3")
    assert (beyond.code, beyond.lines) == (0, ["There is no page 3: `wpy queues list` shows all queues."])
    assert project.queues("list", "--page", "0").code == 2
