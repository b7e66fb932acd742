"""`vars`, the secrets of `.dev.vars` or `.env` files, and `--var`: the later beats the earlier."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from wrangler_py.config import dotenv, keys
from wrangler_py.config import limits_and_texts as limits
from wrangler_py.config.environments import Section, Sections
from wrangler_py.config.jsvalues import js_stringify
from wrangler_py.config.model import Problem
from wrangler_py.config.source import SourceError, read_text


class Secrets(Struct):
    """What the files beside a config say, and which files that were."""

    values: dict[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    #: Required ones that none of the files has.
    missing: list[str] = field(default_factory=list)
    #: Where each value stands.
    places: dict[str, tuple[Path, int]] = field(default_factory=dict)


def read_vars(sections: Sections) -> dict[str, Any]:
    """`vars` of the section that counts: any JSON value, never inherited."""
    for section in sections.each():
        _check_vars(section)
    found = sections.own("vars")
    return dict(found.value) if found is not None and isinstance(found.value, dict) else {}


def _check_vars(section: Section) -> None:
    found = section.get("vars")
    if found is None:
        return
    shown = section.name_of("vars")
    if not isinstance(found.value, dict):
        section.report.error(limits.should_be(shown, "an object", found.value), found.path)
        return
    for name, value in found.value.items():
        if isinstance(value, datetime.date | datetime.time):
            section.report.error(limits.toml_date_in_vars(shown, name), (*found.path, name))
        elif not name.isidentifier():
            text = f'"{name}" is no valid name for a variable: code cannot say env.{name}.'
            section.report.warning(text, (*found.path, name))


def read_required_secrets(sections: Sections) -> list[str] | None:
    """`secrets.required`: when given, only these names are taken from the files. None when it is not."""
    for section in sections.each():
        found = section.get("secrets")
        if found is None:
            continue
        shown = section.name_of("secrets")
        if not isinstance(found.value, dict):
            section.report.error(limits.should_be(shown, "an object", found.value), found.path)
            continue
        section.report.unexpected(shown, found.path, found.value, keys.SECRETS)
        required = found.value.get("required", [])
        if not isinstance(required, list):
            text = limits.not_an_array_of(f"{shown}.required", "string", required)
            section.report.error(text, (*found.path, "required"))
            continue
        for i, name in enumerate(required):
            if not isinstance(name, str):
                text = limits.wrong_type(f"{shown}.required.[{i}]", "string", name)
                section.report.error(text, (*found.path, "required", i))
    chosen = sections.own("secrets")
    if chosen is None or not isinstance(chosen.value, dict):
        return None
    required = chosen.value.get("required", [])
    return [name for name in required if isinstance(name, str)] if isinstance(required, list) else []


def read_secrets(
    root: Path, environment: str | None, required: list[str] | None, environ: Mapping[str, str]
) -> Secrets:
    """The secrets for a Worker whose config stands in `root`.

    `.dev.vars.<environment>`, or else `.dev.vars`, alone; when neither exists, `.env`, `.env.local`,
    `.env.<environment>` and `.env.<environment>.local` on top of each other, with references between their values
    filled in. `environ` adds to the latter with CLOUDFLARE_INCLUDE_PROCESS_ENV or when `required` is given;
    CLOUDFLARE_LOAD_DEV_VARS_FROM_DOT_ENV=false leaves the `.env` files alone. (wrangler: getVarsForDev)
    """
    secrets = Secrets()
    names = [f".dev.vars.{environment}", ".dev.vars"] if environment else [".dev.vars"]
    for name in names:
        if _read_into(secrets, root / name):
            break
    else:
        if _flag(environ, "CLOUDFLARE_LOAD_DEV_VARS_FROM_DOT_ENV", True, secrets):
            _read_env_files(secrets, root, environment, required is not None, environ)
    if required is not None:
        secrets.missing = [name for name in required if name not in secrets.values]
        secrets.values = {name: secrets.values[name] for name in required if name in secrets.values}
    return secrets


def _read_env_files(
    secrets: Secrets, root: Path, environment: str | None, with_environ: bool, environ: Mapping[str, str]
) -> None:
    names = [".env", ".env.local"]
    if environment:
        names += [f".env.{environment}", f".env.{environment}.local"]
    for name in names:
        _read_into(secrets, root / name)
    outer = environ if _flag(environ, "CLOUDFLARE_INCLUDE_PROCESS_ENV", False, secrets) or with_environ else {}
    secrets.values = {**outer, **dotenv.expand(secrets.values, outer)}


def _flag(environ: Mapping[str, str], name: str, default: bool, secrets: Secrets) -> bool:
    value = environ.get(name)
    if value is None:
        return default
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    text = f'Expected {name} to be "true" or "false", but got {js_stringify(value)}'
    secrets.problems.append(Problem("error", text))
    return default


def _read_into(secrets: Secrets, path: Path) -> bool:
    """Add what `path` says. False when there is no such file."""
    try:
        text = read_text(path, limits.MAX_CONFIG_BYTES)
    except SourceError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return False
        secrets.problems.append(error.problem)
        return True
    parsed = dotenv.parse(text)
    secrets.files.append(path)
    secrets.values.update(parsed.values)
    secrets.places.update({name: (path, line) for name, line in parsed.lines.items()})
    for line in parsed.meaningless:
        secrets.problems.append(
            Problem(
                "warning",
                "This line is ignored: it is neither NAME=value nor a comment.",
                file=path,
                line=line,
                hint="write NAME=value, with quotes around a value of several lines",
            )
        )
    return True
