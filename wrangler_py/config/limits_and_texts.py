"""Cloudflare's ranges, defaults and texts for what stands in a config, each with its source.

"wrangler": the text is wrangler 4's own, read off its screen. "wpy": wrangler says nothing, or says it only at
deploy time, and the words are ours.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from msgspec import Struct

from wrangler_py.config.jsvalues import js_stringify

#: A config that is larger is some other file. A dotenv file likewise. (wpy)
MAX_CONFIG_BYTES = 1024 * 1024
#: Tables and arrays within one another. The deepest field that wrangler knows has 7. (wpy)
MAX_NESTING = 64


class Range(Struct, frozen=True):
    """The numbers a field may hold. `default` is what production uses when the field is left out."""

    low: int
    high: int
    default: int | None
    unit: str = ""
    whole: bool = True

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        unit = f" of {self.unit}" if self.unit else ""
        return f"{kind}{unit} from {self.low} to {self.high}"

    def holds(self, value: float) -> bool:
        """Whether `value` may stand here. NaN never may."""
        return self.low <= value <= self.high and (not self.whole or float(value).is_integer())


#: What `wrangler dev` uses where the config says nothing (miniflare 4, measured).
MINIFLARE_CONSUMER: dict[str, Any] = {"max_batch_size": 5, "max_batch_timeout": 1, "max_retries": 2}
#: Cloudflare docs: Queues > Configuration > Configure Queues, and Queues > Platform > Limits. The API refuses
#: other values at deploy time; wrangler itself checks none of them.
CONSUMER_RANGES = {
    "max_batch_size": Range(1, 100, 10),
    "max_batch_timeout": Range(0, 60, 5, "seconds", whole=False),
    "max_retries": Range(0, 100, 3),
    "max_concurrency": Range(1, 250, None),
    "retry_delay": Range(0, 86_400, 0, "seconds"),
}
PRODUCER_RANGES = {"delivery_delay": Range(0, 86_400, 0, "seconds")}
PORT_RANGE = Range(0, 65_535, 8787)

#: What production accepts as a queue's name (API error 11003 otherwise); locally any string works.
QUEUE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
#: wrangler: names of Workers. The empty name passes.
WORKER_NAME = re.compile(r"|[a-z0-9_][a-z0-9_-]*")
#: The name of a Worker that has none (wrangler: `config.name ?? "worker"`).
DEFAULT_WORKER_NAME = "worker"

#: What `main` may end in, Python first; the order is that in which a `main` without an ending is completed.
PYTHON_SUFFIXES = (".py",)
JAVASCRIPT_SUFFIXES = (".ts", ".tsx", ".js", ".jsx", ".mjs", ".mts", ".cjs", ".cts")


# General texts of wrangler's validator.


def wrong_type(field: str, kind: str, value: Any) -> str:
    return f'Expected "{field}" to be of type {kind} but got {js_stringify(value)}.'


def should_be(field: str, kind: str, value: Any) -> str:
    return f'The field "{field}" should be {kind} but got {js_stringify(value)}.'


def not_an_array_of(field: str, kind: str, value: Any) -> str:
    return f'Expected "{field}" to be an array of {kind}s but got {js_stringify(value)}'


def unexpected_field(where: str, name: str) -> str:
    return f'Unexpected fields found in {where} field: "{name}"'


def not_inherited(field: str, environment: str) -> str:
    return (
        f'"{field}" exists at the top level, but not on "env.{environment}".\n'
        f'This is not what you probably want, since "{field}" is not inherited by environments.\n'
        f'Please add "{field}" to "env.{environment}".'
    )


def member_not_inherited(field: str, name: str, environment: str) -> str:
    """For `vars` and `define`."""
    return (
        f'"{field}.{name}" exists at the top level, but not on "env.{environment}.{field}".\n'
        f'This is not what you probably want, since "{field}" configuration is not inherited by environments.\n'
        f'Please add "{field}.{name}" to "env.{environment}".'
    )


def binding_not_inherited(field: str, name: str, environment: str) -> str:
    return (
        f'There is a {field} binding with name "{name}" at the top level, but not on "env.{environment}".\n'
        f'This is not what you probably want, since "{field}" configuration is not inherited by environments.\n'
        f'Please add a binding for "{name}" to "env.{environment}.{field}.bindings".'
    )


def no_environment(name: str, existing: list[str], file: str) -> str:
    known = f"The available configured environment names are: {js_stringify(existing)}\n" if existing else ""
    return (
        f'No environment found in configuration with name "{name}".\n'
        f"Before using `--env={name}` there should be an equivalent environment section in the configuration.\n"
        f"{known}\n"
        f"Consider adding an environment configuration section to the {file} file:\n"
        f"```\n[env.{name}]\n```"
    )


SERVICE_ENVIRONMENTS = (
    "Service environments are deprecated, and will be removed in the future. DO NOT USE IN PRODUCTION."
)


def not_in_service_environment(field: str) -> str:
    return (
        f'The "{field}" field is not allowed in named service environments.\n'
        "Please remove the field from this environment."
    )


NODE_COMPAT = (
    'Removed: "node_compat":\n'
    'The "node_compat" field is no longer supported as of Wrangler v4. '
    "Instead, use the `nodejs_compat` compatibility flag."
)


# The Worker itself.


def bad_worker_name(field: str, value: Any) -> str:
    return (
        f'Expected "{field}" to be of type string, alphanumeric and lowercase with dashes only '
        f"but got {js_stringify(value)}."
    )


def bad_date(field: str, value: str) -> str:
    return f'"{field}" field should be a valid ISO-8601 date (YYYY-MM-DD), but got {js_stringify(value)}.'


def date_with_dashes(field: str) -> str:
    return f'"{field}" field should use ISO-8601 accepted hyphens (-) rather than en-dashes (\u2013) or em-dashes (\u2014).'


NO_DATE = "No compatibility_date was specified. Using today's date: {date}."
PYTHON_FLAG = "The `python_workers` compatibility flag is required to use Python."
NO_ENTRY = "Missing entry-point to Worker script or to assets directory"
PAGES_PROJECT = "It looks like you've run a Workers-specific command in a Pages project."
PAGES_CONSUMERS = 'Configuration file for Pages projects does not support "queues.consumers"'
SITE_ENTRY_POINT = (
    'Deprecation: "site.entry-point":\n'
    "Delete the `site.entry-point` field, then add the top level `main` field to your configuration file"
)


def entry_not_found(shown: str) -> str:
    return f'The entry-point file at "{shown}" was not found.'


def entry_is_directory(shown: str) -> str:
    return f'The provided entry-point path, "{shown}", points to a directory, rather than a file.'


def toml_date_in_vars(field: str, name: str) -> str:
    return (
        f'The field "{field}.{name}" is a TOML date, which is not supported. '
        f'Please use a string instead, e.g. {name} = "2025-12-19".'
    )


def missing_secrets(names: list[str]) -> str:
    return (
        f"Missing required secrets: {', '.join(names)}. Add them to .dev.vars, .env, or set as environment variables."
    )


# Triggers.


def bad_crons(field: str, triggers: Any) -> str:
    """`triggers` is the whole object: wrangler prints that, not the value of `crons`."""
    return f'Expected "{field}.crons" to be of type array, but got {js_stringify(triggers)}.'


def duplicate_cron(expression: str) -> str:
    """The API's text, code 10100, for two expressions of one compiled meaning (saffron's worker example says so)."""
    return f"duplicate cron found: {expression}"


# Queues. `at` is `queues.producers[0]` or `queues.consumers[0]`, with `env.<name>.` in front inside environments.


def producer_not_object(value: Any) -> str:
    return f'"queue" bindings should be objects, but got {js_stringify(value)}'


def producer_without_binding(at: str, producer: Any) -> str:
    return f'"{at}" bindings should have a string "binding" field but got {js_stringify(producer)}.'


def producer_bad_queue(at: str, producer: Any) -> str:
    """wrangler 4.113 and later; before that `queue` was required."""
    return f'"{at}" bindings should optionally have a non-empty string "queue" field but got {js_stringify(producer)}.'


def delivery_delay_deprecated(at: str) -> str:
    """wrangler 4.90 and later."""
    return (
        f'The "delivery_delay" field in "{at}" is deprecated and has no effect. Queue-level settings should be '
        'configured using "wrangler queues update" instead. This setting will be removed in a future version.'
    )


def consumer_not_object(at: str, value: Any) -> str:
    return f'"{at}" should be a objects, but got {js_stringify(value)}'  # (sic)


def consumer_without_queue(at: str, consumer: Any) -> str:
    return f'"{at}" should have a string "queue" field but got {js_stringify(consumer)}.'


def consumer_bad_type(at: str, value: Any) -> str:
    shown = value if isinstance(value, str) else js_stringify(value)
    return (
        f'"{at}.type" has an invalid value "{shown}". '
        'Only "worker" consumers can be configured in your Wrangler configuration.'
    )


def optional_field(at: str, kind: str, name: str, owner: Any) -> str:
    return f'"{at}" should, optionally, have a {kind} "{name}" field but got {js_stringify(owner)}.'


def out_of_range(field: str, value: float, allowed: Range) -> str:
    """(wpy) wrangler passes any number on and the API refuses it."""
    shown = str(value) if value != value or value in (float("inf"), float("-inf")) else js_stringify(value)
    return f'"{field}" must be {allowed}, but is {shown}.'


def bad_queue_name(name: str) -> str:
    """(wpy) after the API's error 11003, which begins with the same words."""
    return (
        f"Queue name '{name}' is invalid: on Cloudflare it has 1 to 63 lower-case letters, digits and hyphens, "
        "and begins and ends with a letter or digit. Locally it works."
    )


def own_dead_letter_queue(queue: str) -> str:
    """miniflare, at start (ERR_DEAD_LETTER_QUEUE_CYCLE)."""
    return f'Dead letter queue for queue "{queue}" cannot be itself'


def multiple_consumers(queue: str, first: str, second: str) -> str:
    """miniflare, at start (ERR_MULTIPLE_CONSUMERS)."""
    return f'Multiple consumers defined for queue "{queue}": "{first}" and "{second}"'


# Bindings of all kinds.

UNIQUE_NAMES = (
    "Bindings must have unique names, so that they can all be referenced in the worker.\n"
    "Please change your bindings to have unique names."
)


def binding_kinds_clash(name: str, kinds: list[str]) -> str:
    """JavaScript's Intl.ListFormat("en-US"): "A and B", "A, B, and C"."""
    joined = " and ".join(kinds) if len(kinds) < 3 else f"{', '.join(kinds[:-1])}, and {kinds[-1]}"
    return f"{name} assigned to {joined} bindings."


def binding_twice(name: str, kind: str) -> str:
    return f"{name} assigned to multiple {kind} bindings."


def binding_without_name(at: str, key: str, binding: Any) -> str:
    return f'"{at}" bindings should have a string "{key}" field but got {js_stringify(binding)}.'


def unsupported_binding(kind: str, name: str) -> str:
    """(wpy)"""
    return f'wpy cannot serve the {kind} "{name}" yet: using env.{name} is an error.'


def not_one_of(field: str, choices: tuple[str, ...], value: Any) -> str:
    return f'Expected "{field}" field to be one of {js_stringify(choices)} but got {js_stringify(value)}.'


BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
BUCKET_NAMES = (
    "Bucket names must begin and end with an alphanumeric character, only contain lowercase letters, numbers, "
    "and hyphens, and be between 3 and 63 characters long."
)
WORKFLOW_NAMES = (
    "Workflow names must be 1-64 characters long, start with a letter, number, or underscore, and may only contain "
    "letters, numbers, underscores, or hyphens."
)


def no_assets_directory(folder: Path) -> str:
    field = '"assets.directory" field in your configuration file'
    if folder.exists():
        return f"The path specified by the {field} doesn't point to a directory: {folder}"
    return f"The directory specified by the {field} does not exist: {folder}"


def remote_binding(at: str, kind: str) -> str:
    """(wpy)"""
    return f'"{at}" has "remote": wpy runs every {kind} on this machine; nothing reaches Cloudflare.'


def no_migrations(file: str, classes: list[str]) -> str:
    return (
        f"In your {file} file, you have configured `durable_objects` exported by this Worker ({', '.join(classes)}), "
        "but no `migrations` for them. This may not work as expected until you add a `migrations` section to your "
        f"{file} file."
    )
