"""`wrangler.toml.example` tells the truth, and tells all of it."""

import re
import tomllib
from pathlib import Path

import pytest
from config_project import Project

from wrangler_py.config import keys
from wrangler_py.config import limits_and_texts as limits
from wrangler_py.config.binding_checks import ASSETS, RULES, EntryRules
from wrangler_py.config.binding_values import READERS

EXAMPLE = Path(__file__).parents[2] / "wrangler.toml.example"


def uncommented(text: str) -> str:
    return re.sub(r"^#:", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("env", [None, "staging"])
def test_it_loads_without_a_warning(project: Project, env: str | None):
    project.write("wrangler.toml", EXAMPLE.read_bytes())
    worker = project.worker(env=env)
    assert worker.consumers
    assert worker.producers
    assert bool(worker.crons) == (env is None)


def test_what_is_switched_off_is_valid_too(project: Project):
    project.write("wrangler.toml", uncommented(EXAMPLE.read_text()))
    project.write("public/index.html", "home")
    session = project.load()
    unserved = {binding.field for binding in session.workers[0].unsupported}
    assert sorted(w.field for w in session.warnings if w.field not in unserved) == [
        "queues.consumers[0].visibility_timeout_ms",
        "queues.producers[0].delivery_delay",
        "secrets",
    ]


def binding_fields(section: str, rules: EntryRules) -> list[str]:
    known = [rule.name for rule in rules.fields] if rules.known is None else rules.known
    within = "bindings." if section == "durable_objects" else ""
    return [f"{within}{field}" for field in known]


def fields_read() -> list[str]:
    return [
        *keys.INHERITED,
        *keys.NOT_INHERITED,
        *keys.TOP_LEVEL_ONLY,
        *(f"triggers.{key}" for key in keys.TRIGGERS),
        *(f"secrets.{key}" for key in keys.SECRETS),
        *(f"build.{key}" for key in keys.BUILD),
        *(f"dev.{key}" for key in keys.DEV),
        *(f"queues.{key}" for key in keys.QUEUES),
        *(f"queues.producers.{key}" for key in keys.PRODUCER),
        *(f"queues.consumers.{key}" for key in keys.CONSUMER),
        *keys.BUNDLING,
        *keys.BUNDLING_TOP_LEVEL_ONLY,
        *(f"{section}.{key}" for section, rules in RULES.items() for key in binding_fields(section, rules)),
        *(f"assets.{key}" for key in ASSETS),
        *READERS,
    ]


@pytest.mark.parametrize("field", fields_read())
def test_every_field_that_is_read_stands_in_it(field: str):
    found = tomllib.loads(uncommented(EXAMPLE.read_text()))
    for part in field.split("."):
        found = found[0] if isinstance(found, list) else found
        assert part in found
        found = found[part]


def comment_before(field: str) -> str:
    """The comment that stands directly above a field, or on its line."""
    lines = EXAMPLE.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if re.match(rf"(#:)?{field} =", line))
    first = at
    while lines[first - 1].startswith("# "):
        first -= 1
    return " ".join(lines[first : at + 1])


@pytest.mark.parametrize(
    ("field", "allowed"),
    [*limits.CONSUMER_RANGES.items(), *limits.PRODUCER_RANGES.items(), ("port", limits.PORT_RANGE)],
)
def test_ranges_and_defaults_are_those_of_the_code(field: str, allowed: limits.Range):
    comment = comment_before(field)
    assert f"{allowed.low} to {allowed.high}" in comment
    if allowed.default is not None and field != "delivery_delay":
        assert f"default: {allowed.default}" in comment.replace("# ", "")
