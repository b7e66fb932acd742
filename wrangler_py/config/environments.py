"""Which sections of a config count for a session: the top level alone, or one named environment on top of it.

wrangler's rules (`normalizeAndValidateEnvironment`): some fields are taken over from the top level, some never are,
and both sections are checked whichever of them counts.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from wrangler_py.config import keys
from wrangler_py.config import limits_and_texts as limits
from wrangler_py.config.jsvalues import is_object
from wrangler_py.config.positions import FieldPath
from wrangler_py.config.problems import Report, nearest


class Field(Struct, frozen=True):
    """A value and where it stands."""

    value: Any
    path: FieldPath


class Section(Struct, frozen=True):
    """The top level or one `env.<name>`."""

    table: dict[str, Any]
    path: FieldPath
    report: Report
    environment: str | None = None

    def get(self, key: str) -> Field | None:
        return Field(self.table[key], (*self.path, key)) if key in self.table else None

    def name_of(self, key: str) -> str:
        """How wrangler's binding checks call a field of this section."""
        return key if self.environment is None else f"env.{self.environment}.{key}"


class Sections(Struct, frozen=True):
    """The sections of one config, as the chosen environment sees them."""

    top: Section
    #: The section whose own fields count: `top`, or the chosen environment's.
    active: Section
    #: The name given with `--env`, whether or not the file has a section for it.
    environment: str | None
    #: False for `legacy_env = false`: the environments then share one name.
    separate_workers: bool

    def each(self) -> tuple[Section, ...]:
        return (self.top,) if self.active is self.top else (self.top, self.active)

    def inherited(self, key: str) -> Field | None:
        """The value of a field that environments take over. JSON's null counts as not set."""
        for section in reversed(self.each()):
            found = section.get(key)
            if found is not None and found.value is not None:
                return found
        return None

    def own(self, key: str) -> Field | None:
        """The value of a field that environments do not take over."""
        return self.active.get(key)


def choose(report: Report, environment: str | None) -> Sections:
    """Find the sections that count, and report an environment that does not exist."""
    data = report.source.data
    top = Section(data, (), report)
    legacy_env = data.get("legacy_env", True)
    separate = legacy_env is not False
    if not separate:
        report.warning(limits.SERVICE_ENVIRONMENTS, ("legacy_env",))
    all_environments = data.get("env", {})
    if not isinstance(all_environments, dict):
        report.error(limits.should_be("env", "an object", all_environments), ("env",))
        return Sections(top, top, environment, separate)
    if not environment:
        return Sections(top, top, None, separate)
    if environment not in all_environments:
        _report_missing(report, environment, list(all_environments))
        return Sections(top, top, environment, separate)
    table = all_environments[environment]
    path = ("env", environment)
    if not isinstance(table, dict):
        report.error(limits.should_be(f"env.{environment}", "an object", table), path)
        return Sections(top, top, environment, separate)
    active = Section(table, path, report.within(environment), environment)
    _report_not_inherited(top, active)
    return Sections(top, active, environment, separate)


def _report_missing(report: Report, environment: str, existing: list[str]) -> None:
    text = limits.no_environment(environment, existing, report.source.path.name)
    near = nearest(environment, existing)
    hint = f'did you mean "{near}"?' if near else None
    if existing:
        report.error(text, ("env",), hint)
    else:
        # Without any environment wrangler goes on with the top level, and so does wpy.
        report.warning(text, (), "the top level is used")


def _report_not_inherited(top: Section, active: Section) -> None:
    name = active.environment or ""
    for key in keys.NEVER_INHERITED:
        if key not in top.table:
            continue
        if key not in active.table:
            active.report.warning(limits.not_inherited(key, name), active.path)
        elif key in ("vars", "define"):
            above, here = top.table[key], active.table[key]
            if isinstance(above, dict) and isinstance(here, dict):
                for member in above:
                    if member not in here:
                        text = limits.member_not_inherited(key, member, name)
                        active.report.warning(text, (*active.path, key))
        elif key in keys.BINDINGS:
            _report_missing_bindings(top, active, key)


def _report_missing_bindings(top: Section, active: Section, key: str) -> None:
    above, here = top.table[key], active.table[key]
    if not isinstance(above, list) or not isinstance(here, list):
        return
    names = {entry.get("binding") for entry in here if isinstance(entry, dict) and _is_name(entry.get("binding"))}
    for entry in above:
        binding = entry.get("binding") if isinstance(entry, dict) else None
        if _is_name(binding) and binding not in names:
            text = limits.binding_not_inherited(key, str(binding), active.environment or "")
            active.report.warning(text, (*active.path, key))


def _is_name(value: Any) -> bool:
    return not is_object(value) and value is not None


def check_known_fields(sections: Sections) -> None:
    """Warn about fields that wrangler does not know, in each section."""
    for section in sections.each():
        top = section.environment is None
        known = keys.TOP_LEVEL if top else keys.ENVIRONMENT
        where = "top-level" if top else f"env.{section.environment}"
        for key in keys.REMOVED:
            if key in section.table:
                section.report.error(limits.NODE_COMPAT, (*section.path, key))
        for key in section.table:
            if key in known or key in keys.REMOVED:
                continue
            if top and key in keys.MISPLACED:
                hint = f'did you mean "{keys.MISPLACED[key]}"?'
            elif key in keys.TOP_LEVEL:
                hint = f'"{key}" stands at the top level of the file, never in an environment'
            else:
                section.report.unexpected(where, section.path, [key], known)
                continue
            section.report.warning(limits.unexpected_field(where, key), (*section.path, key), hint)
