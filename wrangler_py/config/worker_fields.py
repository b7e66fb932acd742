"""The fields of a Worker other than its entry module, its variables and its bindings: name, compatibility,
triggers, `dev`, and what only needs a word of warning."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from wrangler_py.config import keys, snippets
from wrangler_py.config import limits_and_texts as limits
from wrangler_py.config.environments import Section, Sections
from wrangler_py.config.jsvalues import is_object, js_typeof
from wrangler_py.config.model import CronRefusal, CustomBuild, DevSettings
from wrangler_py.config.problems import Report


def check_plain_types(sections: Sections) -> None:
    """Fields that wpy has no use for still have to be of wrangler's type: `wrangler deploy` would stop on them."""
    for section in sections.each():
        for key, kind in keys.PLAIN_TYPES.items():
            found = section.get(key)
            if found is not None and js_typeof(found.value) != kind:
                section.report.error(limits.wrong_type(key, kind, found.value), found.path)


def read_name(sections: Sections) -> str:
    """The Worker's name: the environment's own, else the top level's with `-<environment>` behind it."""
    for section in sections.each():
        found = section.get("name")
        if found is None:
            continue
        if section.environment is not None and not sections.separate_workers:
            section.report.error(limits.not_in_service_environment("name"), found.path)
        elif not isinstance(found.value, str) or not limits.WORKER_NAME.fullmatch(found.value):
            hint = f'for example "{_valid_name(found.value)}"' if isinstance(found.value, str) else None
            section.report.error(limits.bad_worker_name("name", found.value), found.path, hint)
    own = sections.active.get("name") if sections.active is not sections.top else None
    if own is not None and isinstance(own.value, str) and sections.separate_workers:
        return own.value
    top = sections.top.get("name")
    name = top.value if top is not None and isinstance(top.value, str) else ""
    if not name:
        return limits.DEFAULT_WORKER_NAME
    return f"{name}-{sections.environment}" if sections.environment and sections.separate_workers else name


def _valid_name(name: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-") or limits.DEFAULT_WORKER_NAME


def read_compatibility_date(sections: Sections, today: datetime.date | None) -> str | None:
    """The date as YYYY-MM-DD, `today` where none is given, as for `wrangler dev`. One after `today` is doubtful: the
    runtime has no behaviour for it yet."""
    for section in sections.each():
        found = section.get("compatibility_date")
        if found is not None:
            _check_date(section.report, found.value, found.path)
    chosen = sections.inherited("compatibility_date")
    report = sections.active.report
    if chosen is None:
        date = f"{today:%Y-%m-%d}" if today else "2026-01-01"
        text = limits.NO_DATE.format(date=date)
        report.warning(text, (), f"add {report.setting('compatibility_date', date)}")
        return date if today else None
    if not isinstance(chosen.value, str) or _date(chosen.value) is None:
        return None
    if today is not None and chosen.value > today.isoformat():
        report.warning(
            f'"compatibility_date" is in the future: {chosen.value}.',
            chosen.path,
            f"wrangler refuses to deploy a date after today, {today.isoformat()}",
            stops_deploy=True,
        )
    return chosen.value


def _check_date(report: Report, value: Any, path: tuple[str | int, ...]) -> None:
    if not isinstance(value, str):
        hint = "put the date in quotes" if isinstance(value, datetime.date) else None
        report.error(limits.wrong_type("compatibility_date", "string", value), path, hint)
    elif "\u2013" in value or "\u2014" in value:
        report.error(limits.date_with_dashes("compatibility_date"), path)
    elif _date(value) is None:
        # wrangler takes whatever JavaScript's Date takes; workerd then refuses all but YYYY-MM-DD.
        report.error(limits.bad_date("compatibility_date", value), path, _date_hint(value))


def _date_hint(value: str) -> str:
    numbers = re.fullmatch(r"\s*([0-9]{4})[-/.]?([0-9]{1,2})[-/.]?([0-9]{1,2})\s*", value)
    meant = "{}-{:0>2}-{:0>2}".format(*numbers.groups()) if numbers else ""
    return f'write "{meant}"' if _date(meant) else 'write it as YYYY-MM-DD: "2026-03-01"'


def _date(text: str) -> datetime.date | None:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return None
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None


def read_compatibility_flags(sections: Sections) -> tuple[str, ...]:
    for section in sections.each():
        found = section.get("compatibility_flags")
        if found is not None and not _strings(found.value):
            text = limits.wrong_type("compatibility_flags", "string array", found.value)
            section.report.error(text, found.path, 'for example ["python_workers"]')
    chosen = sections.inherited("compatibility_flags")
    return tuple(chosen.value) if chosen is not None and _strings(chosen.value) else ()


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


#: What the cron room says of a Worker's list of crons.
RefusedCrons = Callable[[Sequence[str]], Iterable[CronRefusal]]


def read_crons(sections: Sections, refused: RefusedCrons | None) -> tuple[str, ...]:
    """The cron expressions, as they are written: what they mean is the cron room's to judge, through `refused`."""
    for section in sections.each():
        _check_triggers(section)
    chosen = sections.inherited("triggers")
    crons = chosen.value.get("crons") if chosen is not None and isinstance(chosen.value, dict) else None
    if chosen is None or not isinstance(crons, list):
        return ()
    report, path = sections.active.report, (*chosen.path, "crons")
    kept: dict[str, int] = {}
    for i, cron in enumerate(crons):
        if not isinstance(cron, str):
            continue
        if cron in kept:
            hint = "Cloudflare refuses the whole list (code 10100); here it runs once"
            report.warning(limits.duplicate_cron(cron), (*path, i), hint, stops_deploy=True)
        else:
            kept[cron] = i
    places = list(kept.values())
    for bad in refused(tuple(kept)) if refused is not None and kept else ():
        place = (*path, places[bad.index])
        report.warning(bad.text, place, bad.hint, excerpt=bad.excerpt, stops_deploy=True)
    return tuple(kept)


def _check_triggers(section: Section) -> None:
    found = section.get("triggers")
    if found is None or found.value is None:
        return
    report = section.report
    if not isinstance(found.value, dict):
        hint = f"write {snippets.crons(report.source.path, '0 * * * *')}"
        report.error(limits.wrong_type("triggers", "object", found.value), found.path, hint)
        return
    report.unexpected("triggers", found.path, found.value, keys.TRIGGERS)
    if "crons" not in found.value:
        return
    crons = found.value["crons"]
    path = (*found.path, "crons")
    if not isinstance(crons, list):
        report.error(
            limits.bad_crons("triggers", found.value), path, f"for example {report.setting('crons', ['0 * * * *'])}"
        )
        return
    for i, cron in enumerate(crons):
        if not isinstance(cron, str):
            report.error(limits.wrong_type(f"triggers.crons[{i}]", "string", cron), (*path, i))


def read_cpu_limit(sections: Sections) -> int | None:
    """`limits.cpu_ms`: how long one invocation may compute (ms); None: the default of the account's plan."""
    chosen = sections.inherited("limits")
    if chosen is None or not isinstance(chosen.value, dict) or "cpu_ms" not in chosen.value:
        return None
    given = chosen.value["cpu_ms"]
    if js_typeof(given) != "number" or given <= 0:
        where = (*chosen.path, "cpu_ms")
        sections.active.report.error(limits.wrong_type("limits.cpu_ms", "positive number", given), where)
        return None
    return int(given)


def read_dev(sections: Sections) -> DevSettings:
    """`dev.ip` and `dev.port`; the section stands at the top level only."""
    found = sections.top.get("dev")
    report = sections.top.report
    if found is None:
        return DevSettings()
    if not isinstance(found.value, dict):
        report.error(limits.should_be("dev", "an object", found.value), found.path)
        return DevSettings()
    dev: dict[str, Any] = found.value
    known = (*keys.DEV, *keys.DEV_UNUSED, *keys.DEV_UNSERVED)
    report.unexpected("dev", found.path, dev, known)
    for key in keys.DEV_UNSERVED:
        if key in dev and dev[key] != "http":
            report.warning(f'wpy does not apply "dev.{key}": it serves plain HTTP under its own name.', ("dev", key))
    ip: Any = dev.get("ip")
    if "ip" in dev and not isinstance(ip, str):
        report.error(limits.wrong_type("dev.ip", "string", ip), ("dev", "ip"))
        ip = None
    port: Any = dev.get("port")
    if "port" in dev and js_typeof(port) != "number":
        report.error(limits.wrong_type("dev.port", "number", port), ("dev", "port"))
        port = None
    if port is not None and not limits.PORT_RANGE.holds(port):
        report.error(limits.out_of_range("dev.port", port, limits.PORT_RANGE), ("dev", "port"))
        port = None
    return DevSettings(ip=ip, port=None if port is None else int(port))


def read_build(sections: Sections, root: Path) -> CustomBuild | None:
    """`build`: a command that makes the entry module. Relative paths start at the config's folder."""
    found = sections.inherited("build")
    if found is None or not isinstance(found.value, dict):
        return None
    report, build = sections.active.report, found.value
    report.unexpected("build", found.path, build, keys.BUILD)
    watch = build.get("watch_dir", "./src")
    folders = watch if isinstance(watch, list) else [watch]
    for name, values, kind in (
        ("command", [build.get("command", "")], "string"),
        ("cwd", [build.get("cwd", "")], "string"),
        ("watch_dir", folders, "string"),
    ):
        for value in values:
            if not isinstance(value, str):
                report.error(limits.wrong_type(f"build.{name}", kind, value), (*found.path, name))
                return None
    if not build.get("command"):
        return None
    return CustomBuild(
        command=build["command"],
        cwd=Path(os.path.abspath(root / build.get("cwd", ""))),  # noqa: PTH100 - links stay
        watch=tuple(Path(os.path.abspath(root / folder)) for folder in folders),  # noqa: PTH100
    )


def warn_of_unserved(sections: Sections) -> None:
    """Settings that change what wrangler dev does and that wpy does not follow."""
    site = sections.top.get("site")
    if site is not None:
        sections.top.report.warning(
            "wpy does not serve Workers Sites ([site]); it runs the Worker alone.",
            site.path,
            "Cloudflare has replaced it by static assets ([assets])",
        )
        if is_object(site.value) and isinstance(site.value, dict) and "entry-point" in site.value:
            sections.top.report.warning(limits.SITE_ENTRY_POINT, (*site.path, "entry-point"))
