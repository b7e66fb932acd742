"""wrangler's checks of one entry of a kind of binding: which fields it has, of which types, in wrangler's words.

Kinds that stand nowhere in here are only looked at for their name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from wrangler_py.config import limits_and_texts as limits
from wrangler_py.config.jsvalues import JsType, js_stringify, js_typeof
from wrangler_py.config.positions import FieldPath, dotted
from wrangler_py.config.problems import Report

_SHOULD = 'should have a {kind} "{name}" field'
_OPTIONAL = 'should, optionally, have a {kind} "{name}" field'
_MUST = 'must have a "{name}" field'
_MUST_TYPED = 'must have a {kind} "{name}" field'


class FieldRule(Struct, frozen=True):
    """One field of an entry. `text` is what wrangler says when it is not as it should be."""

    name: str
    text: str = _OPTIONAL
    kind: JsType = "string"
    required: bool = False
    filled: bool = False

    def allows(self, entry: dict[str, Any]) -> bool:
        if self.name not in entry:
            return not self.required
        value = entry[self.name]
        return js_typeof(value) == self.kind and not (self.filled and value == "")


class EntryRules(Struct, frozen=True):
    """What an entry of one kind may hold. `known` None: any further field is fine."""

    fields: tuple[FieldRule, ...]
    known: tuple[str, ...] | None = ()
    #: wrangler has no say in whether a binding of this kind is remote.
    remote: bool = True


#: Behind the name of the binding, which is checked for every kind. Source: wrangler 4.86.
RULES = {
    "kv_namespaces": EntryRules(
        (FieldRule("id", _SHOULD, filled=True), FieldRule("preview_id")),
        ("binding", "id", "preview_id", "remote"),
    ),
    "r2_buckets": EntryRules(
        (
            FieldRule("bucket_name", _SHOULD, filled=True),
            FieldRule("preview_bucket_name"),
            FieldRule("jurisdiction"),
        ),
        ("binding", "bucket_name", "preview_bucket_name", "jurisdiction", "remote"),
    ),
    "d1_databases": EntryRules(
        (
            FieldRule("database_id", _MUST),
            FieldRule("preview_database_id"),
            FieldRule("database_name"),  # these three: wpy's own check, wrangler fails on them later
            FieldRule("migrations_dir"),
            FieldRule("migrations_table"),
        ),
        (
            "binding",
            "database_id",
            "database_internal_env",
            "database_name",
            "migrations_dir",
            "migrations_table",
            "preview_database_id",
            "remote",
        ),
    ),
    "durable_objects": EntryRules(
        (
            FieldRule("class_name", _SHOULD, required=True),
            FieldRule("script_name"),
            FieldRule("environment"),
        ),
        ("class_name", "environment", "name", "script_name"),
    ),
    "workflows": EntryRules(
        (
            FieldRule("name", _SHOULD, required=True),
            FieldRule("class_name", _SHOULD, required=True),
            FieldRule("script_name"),
        ),
        ("binding", "name", "class_name", "script_name", "remote", "limits"),
    ),
    "services": EntryRules(
        (
            FieldRule("service", _SHOULD, required=True),
            FieldRule("environment", _SHOULD),
            FieldRule("entrypoint", _SHOULD),
        ),
        None,
    ),
    "analytics_engine_datasets": EntryRules((FieldRule("dataset", filled=True),), ("binding", "dataset"), remote=False),
    "hyperdrive": EntryRules(
        (FieldRule("id", _MUST, required=True), FieldRule("localConnectionString")),
        ("binding", "id", "localConnectionString"),
        remote=False,
    ),
    "secrets_store_secrets": EntryRules(
        (FieldRule("store_id", _MUST_TYPED, required=True), FieldRule("secret_name", _MUST_TYPED, required=True)),
        ("binding", "store_id", "secret_name"),
        remote=False,
    ),
    "ratelimits": EntryRules(
        (FieldRule("namespace_id", _MUST_TYPED, required=True),), ("name", "namespace_id", "simple"), remote=False
    ),
}

_WORKFLOW_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9-_]{0,63}")
#: Workflows > Limits: steps of one instance, on the paid plan.
_MAX_STEPS = 25_000
_PERIODS = (10, 60)

_HTML_HANDLING = ("auto-trailing-slash", "force-trailing-slash", "drop-trailing-slash", "none")
_NOT_FOUND_HANDLING = ("single-page-application", "404-page", "none")
ASSETS = ("directory", "binding", "html_handling", "not_found_handling", "run_worker_first")


def check_entry(key: str, report: Report, entry: dict[str, Any], path: FieldPath) -> None:
    """Report what is wrong with one entry of the section `key`."""
    rules = RULES.get(key)
    at = dotted(path)
    if rules is not None:
        for rule in rules.fields:
            if not rule.allows(entry):
                said = rule.text.format(kind=rule.kind, name=rule.name)
                where = (*path, rule.name) if rule.name in entry else path
                report.error(f'"{at}" bindings {said} but got {js_stringify(entry)}.', where)
        if rules.remote and "remote" in entry and not isinstance(entry["remote"], bool):
            report.error(limits.optional_field(at, "boolean", "remote", entry), (*path, "remote"))
        if rules.known is not None:
            report.unexpected(at, path, entry, rules.known)
    if key in _MORE:
        _MORE[key](report, entry, path)


def _more_of_bucket(report: Report, entry: dict[str, Any], path: FieldPath) -> None:
    for field in ("bucket_name", "preview_bucket_name"):
        name = entry.get(field)
        if isinstance(name, str) and name and not limits.BUCKET_NAME.fullmatch(name):
            text = f"{dotted(path)}.{field}={js_stringify(name)} is invalid. {limits.BUCKET_NAMES}"
            report.error(text, (*path, field))


def _more_of_object(report: Report, entry: dict[str, Any], path: FieldPath) -> None:
    if "environment" in entry and "script_name" not in entry:
        text = f'"{dotted(path)}": binding should have a "script_name" field if "environment" is present.'
        report.error(text, (*path, "environment"))


def _more_of_workflow(report: Report, entry: dict[str, Any], path: FieldPath) -> None:
    at, name = dotted(path), entry.get("name")
    if isinstance(name, str) and not _WORKFLOW_NAME.fullmatch(name):
        report.error(f'"{at}" binding "name" field is invalid. {limits.WORKFLOW_NAMES}', (*path, "name"))
    bounds = entry.get("limits")
    if "limits" not in entry:
        return
    if not isinstance(bounds, dict):
        text = f'"{at}" bindings should, optionally, have an object "limits" field but got {js_stringify(entry)}.'
        report.error(text, (*path, "limits"))
        return
    report.unexpected(f"{at}.limits", (*path, "limits"), bounds, ("steps",))
    if "steps" not in bounds:
        return
    steps, where = bounds["steps"], (*path, "limits", "steps")
    if js_typeof(steps) != "number" or not float(steps).is_integer() or steps < 1:
        text = f'"{at}" bindings "limits.steps" field must be a positive integer but got {js_stringify(steps)}.'
        report.error(text, where)
    elif steps > _MAX_STEPS:
        report.warning(
            f'"{at}" has a step limit of {js_stringify(steps)}, which exceeds the production maximum of '
            f"{_MAX_STEPS:,}. This configuration may not work when deployed.",
            where,
        )


def _more_of_rate_limit(report: Report, entry: dict[str, Any], path: FieldPath) -> None:
    at, simple = dotted(path), entry.get("simple")
    if not isinstance(simple, dict):
        text = f'"{at}" bindings must have a "simple" configuration object but got {js_stringify(entry)}.'
        report.error(text, path, "for example simple = { limit = 100, period = 60 }")
        return
    where = (*path, "simple")
    report.unexpected(f"{at}.simple", where, simple, ("limit", "period"))
    if js_typeof(simple.get("limit", "")) != "number":
        report.error(f'"{at}" bindings "simple.limit" must be a number but got {js_stringify(simple)}.', where)
    period = simple.get("period", "")
    if js_typeof(period) != "number":
        text = f'"{at}" bindings "simple.period" is required and must be a number but got {js_stringify(simple)}.'
        report.error(text, where)
    elif period not in _PERIODS:
        text = f'"{at}" bindings "simple.period" must be either 10 or 60 but got {js_stringify(period)}.'
        report.error(text, (*where, "period"))


def _more_of_assets(report: Report, entry: dict[str, Any], path: FieldPath) -> None:
    at = dotted(path)
    report.unexpected(at, path, entry, ASSETS)
    for field in ("directory", "binding", "html_handling", "not_found_handling"):
        if field in entry and not isinstance(entry[field], str):
            report.error(limits.wrong_type(f"{at}.{field}", "string", entry[field]), (*path, field))
    for field, choices in (("html_handling", _HTML_HANDLING), ("not_found_handling", _NOT_FOUND_HANDLING)):
        given = entry.get(field)
        if isinstance(given, str) and given not in choices:
            report.error(limits.not_one_of(f"{at}.{field}", choices, given), (*path, field))
    first = entry.get("run_worker_first", False)
    where = (*path, "run_worker_first")
    if isinstance(first, list):
        for i, item in enumerate(first):
            if not isinstance(item, str):
                report.error(limits.wrong_type(f"assets.run_worker_first.[{i}]", "string", item), (*where, i))
    elif not isinstance(first, bool):
        text = (
            f'The field "{at}.run_worker_first" should be an array of strings or a boolean, '
            f"but got {js_stringify(first)}."
        )
        report.error(text, where)


_MORE: dict[str, Callable[[Report, dict[str, Any], FieldPath], None]] = {
    "r2_buckets": _more_of_bucket,
    "durable_objects": _more_of_object,
    "workflows": _more_of_workflow,
    "ratelimits": _more_of_rate_limit,
    "assets": _more_of_assets,
}
