"""The shell completes the names of queues."""

import pytest


def complete(project, line: str, shell: str = "bash") -> list[str]:
    words = line.split(" ")
    env = {"_WPY_COMPLETE": f"complete_{shell}", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    if shell == "zsh":
        env["_TYPER_COMPLETE_ARGS"] = line
    done = project.wpy(env=env)
    assert (done.code, done.err) == (0, "")
    return done.out.split()


@pytest.fixture
def queues(project):
    """Two in the state, two more in the config."""
    project.toml('[[queues.consumers]]\nqueue = "jobs"\ndead_letter_queue = "jobs-dead"\n')
    project.queues("create", "emails")
    project.queues("create", "events")
    return project


@pytest.mark.parametrize(
    "command",
    [
        *("update", "delete", "pause-delivery", "resume-delivery", "purge", "describe", "info", "send", "peek"),
        *("retry", "redrive", "pull", "ack", "history", "tail", "consumer add", "consumer remove", "consumer list"),
        *("consumer worker add", "consumer http add", "consumer http list"),
    ],
)
def test_of_every_command_that_takes_one(queues, command):
    assert complete(queues, f"wpy queues {command} ") == ["emails", "events", "jobs", "jobs-dead"]
    assert complete(queues, f"wpy queues {command} e") == ["emails", "events"]


def test_not_of_create_and_not_in_other_places(queues):
    assert complete(queues, "wpy queues create ") == []
    assert complete(queues, "wpy queues consumer add jobs ") == []


def test_of_options(queues):
    assert complete(queues, "wpy queues redrive jobs-dead --to j") == ["jobs", "jobs-dead"]


def test_zsh(queues):
    assert "emails" in " ".join(complete(queues, "wpy queues peek em", shell="zsh"))


def test_where_the_options_before_it_say(queues):
    queues.queues("create", "elsewhere", "--persist-to", "other")
    assert complete(queues, "wpy queues peek --persist-to other el") == ["elsewhere"]


def test_says_nothing_when_something_is_wrong(project):
    project.write("wrangler.toml", "broken = [")
    assert complete(project, "wpy queues peek ") == []
    project.state.mkdir(parents=True)
    (project.state / "wpy.sqlite").write_bytes(b"no database" * 100)
    assert complete(project, "wpy queues peek ") == []
    assert complete(project, "wpy queues peek -c nowhere.toml ") == []
