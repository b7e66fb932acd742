"""`rules`, `define`, `alias` and the other fields that say how JavaScript is bundled; and `migrations`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wrangler_py.config import limits_and_texts as limits
from wrangler_py.config.binding_types import Bundling, Migration, Rule
from wrangler_py.config.environments import Section, Sections
from wrangler_py.config.jsvalues import js_stringify
from wrangler_py.config.positions import FieldPath
from wrangler_py.config.problems import Report

#: The last two are Python's; wrangler 4 knows them although its text does not say so.
_RULE_TYPES = ("ESModule", "CommonJS", "CompiledWasm", "Text", "Data", "PythonModule", "PythonRequirement")
_SWITCHES = ("no_bundle", "find_additional_modules", "preserve_file_names", "minify", "keep_names")
_NAMES = ("jsx_factory", "jsx_fragment")

_LISTS_OF_CLASSES = ("new_classes", "new_sqlite_classes", "deleted_classes")
_PAIRS_OF_CLASSES = {
    "renamed_classes": ("from", "to"),
    "transferred_classes": ("from", "from_script", "to"),
}


def read_bundling(sections: Sections, root: Path) -> Bundling:
    """The fields of bundling; paths become absolute. `define` is an environment's own, the others are inherited."""
    for section in sections.each():
        _check_rules(section)
        _check_texts(section, "define")
    _check_texts(sections.top, "alias")
    values: dict[str, Any] = {}
    for key, kind in (*((key, bool) for key in _SWITCHES), *((key, str) for key in _NAMES)):
        found = sections.inherited(key)
        if found is not None and isinstance(found.value, kind):
            values[key] = found.value
    for key in ("tsconfig", "base_dir"):
        found = sections.inherited(key)
        if found is not None and isinstance(found.value, str) and found.value:
            values[key] = (root / found.value).absolute()
    for key, found in (("define", sections.own("define")), ("alias", sections.top.get("alias"))):
        if found is not None and isinstance(found.value, dict):
            values[key] = {name: text for name, text in found.value.items() if isinstance(text, str)}
    rules = sections.inherited("rules")
    if rules is not None and isinstance(rules.value, list):
        values["rules"] = tuple(
            Rule(rule["type"], tuple(rule["globs"]), rule.get("fallthrough"))
            for rule in rules.value
            if isinstance(rule, dict) and rule.get("type") in _RULE_TYPES and _texts(rule.get("globs"))
        )
    return Bundling(**values)


def _check_rules(section: Section) -> None:
    found = section.get("rules")
    if found is None or not found.value:
        return
    report, shown = section.report, section.name_of("rules")
    if not isinstance(found.value, list):
        report.error(limits.should_be(shown, "an array", found.value), found.path)
        return
    for i, rule in enumerate(found.value):
        path: FieldPath = (*found.path, i)
        at = f"{shown}[{i}]"
        if not isinstance(rule, dict):
            report.error(f'"{at}" should be an object but got {js_stringify(rule)}.', path)
            continue
        if rule.get("type") not in _RULE_TYPES:
            text = (
                'bindings should have a string "type" field, which contains one of "ESModule", "CommonJS", '
                '"CompiledWasm", "Text", or "Data".'
            )
            report.error(text, (*path, "type") if "type" in rule else path)
        _check_list_of_texts(report, f"{at}.globs", rule.get("globs"), (*path, "globs") if "globs" in rule else path)
        if not isinstance(rule.get("fallthrough", False), bool):
            text = 'the field "fallthrough", when present, should be a boolean.'
            report.error(text, (*path, "fallthrough"))


def _check_texts(section: Section, key: str) -> None:
    found = section.get(key)
    if found is None:
        return
    shown = section.name_of(key)
    if not isinstance(found.value, dict):
        section.report.error(limits.should_be(shown, "an object", found.value), found.path)
        return
    for name, text in found.value.items():
        if not isinstance(text, str):
            wrong = limits.should_be(f"{shown}.{name}", "a string", text)
            section.report.error(wrong, (*found.path, name), 'write it as source text, for example "\\"text\\"" or "1"')


def _check_list_of_texts(report: Report, at: str, value: Any, path: FieldPath) -> None:
    if value is None:  # the section has no such field
        report.error(f'Expected "{at}" to be an array of strings but got undefined', path)
        return
    if not isinstance(value, list):
        report.error(limits.not_an_array_of(at, "string", value), path)
        return
    for i, item in enumerate(value):
        if not isinstance(item, str):
            report.error(limits.wrong_type(f"{at}.[{i}]", "string", item), (*path, i))


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def read_migrations(sections: Sections) -> tuple[Migration, ...]:
    """`migrations`, in file order; those of the environment, else the top level's."""
    for section in sections.each():
        _check_migrations(section)
    found = sections.inherited("migrations")
    if found is None or not isinstance(found.value, list):
        return ()
    read = []
    for entry in found.value:
        if not isinstance(entry, dict) or not isinstance(entry.get("tag"), str):
            continue
        lists = {key: tuple(entry[key]) for key in _LISTS_OF_CLASSES if _texts(entry.get(key))}
        pairs: dict[str, Any] = {
            key: tuple(tuple(item[name] for name in names) for item in entry[key])
            for key, names in _PAIRS_OF_CLASSES.items()
            if _pairs(entry.get(key), names)
        }
        read.append(Migration(entry["tag"], **lists, **pairs))
    return tuple(read)


def _check_migrations(section: Section) -> None:
    found = section.get("migrations")
    if found is None or found.value is None:
        return
    report = section.report
    if not isinstance(found.value, list):
        text = f'The optional "migrations" field should be an array, but got {js_stringify(found.value)}'
        report.error(text, found.path)
        return
    for i, entry in enumerate(found.value):
        at, path = f"migrations[{i}]", (*found.path, i)
        if not isinstance(entry, dict):
            report.error(limits.should_be(at, "an object", entry), path)
            continue
        report.unexpected("migrations", path, entry, ("tag", *_LISTS_OF_CLASSES, *_PAIRS_OF_CLASSES))
        if "tag" not in entry:
            report.error(f'"{at}.tag" is a required field.', path, 'for example tag = "v1"')
        elif not isinstance(entry["tag"], str):
            report.error(limits.wrong_type(f"{at}.tag", "string", entry["tag"]), (*path, "tag"))
        for key in _LISTS_OF_CLASSES:
            if key in entry:
                _check_list_of_texts(report, f"{at}.{key}", entry[key], (*path, key))
        for key, names in _PAIRS_OF_CLASSES.items():
            if key in entry and not _pairs(entry[key], names):
                shape = ", ".join(f"{name}: string" for name in names)
                text = (
                    f'Expected "{at}.{key}" to be an array of "{{{shape}}}" objects but got {js_stringify(entry[key])}.'
                )
                report.error(text, (*path, key))


def _pairs(value: Any, names: tuple[str, ...]) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, dict) and all(isinstance(item.get(name), str) for name in names) for item in value
    )
