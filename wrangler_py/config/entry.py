"""`main`: the module a Worker begins with."""

from __future__ import annotations

import os
from pathlib import Path

from wrangler_py.config import limits_and_texts as limits
from wrangler_py.config.environments import Sections
from wrangler_py.config.model import Problem
from wrangler_py.config.positions import FieldPath
from wrangler_py.config.problems import Report, nearest, shown_path

_SUFFIXES = (*limits.PYTHON_SUFFIXES, *limits.JAVASCRIPT_SUFFIXES)
#: Where templates put the entry module.
_USUAL = ("src/entry.py", "src/main.py", "src/worker.py", "src/index.py", "entry.py", "main.py", "worker.py")
_USUAL_JAVASCRIPT = ("src/index.ts", "src/index.js", "src/worker.ts", "index.ts", "index.js")


def check_script(script: Path, cwd: Path) -> tuple[Path | None, Problem | None]:
    """The entry module given on the command line, relative to `cwd`; or why it cannot be one."""
    main, text, hint = _resolve(cwd / script, cwd)
    if text is None:
        return main, None
    return None, Problem("error", text, hint=hint)


def read_main(sections: Sections, root: Path, cwd: Path, *, built: bool = False) -> Path | None:
    """The entry module that the config names, relative to the config's folder. `built`: it need not be there yet."""
    for section in sections.each():
        found = section.get("main")
        if found is not None and not isinstance(found.value, str):
            section.report.error(limits.wrong_type("main", "string", found.value), found.path)
    chosen = sections.inherited("main")
    pages = sections.top.get("pages_build_output_dir")
    if chosen is None:
        _report_missing(sections, root)
        return None
    if pages is not None:
        sections.top.report.warning(
            "This is the config of a Pages project; wpy runs its `main` and serves nothing else of it.", pages.path
        )
    if not isinstance(chosen.value, str):
        return None
    report = sections.active.report if chosen.path[0] == "env" else sections.top.report
    if built and Path(chosen.value).suffix in _SUFFIXES and not (root / chosen.value).exists():
        return _absolute(root / chosen.value)
    return _checked(report, chosen.value, chosen.path, root, cwd)


def _checked(report: Report, main: str, path: FieldPath, root: Path, cwd: Path) -> Path | None:
    resolved, text, hint = _resolve(root / main, cwd)
    if text is not None:
        report.error(text, path, hint)
        return None
    return resolved


def _resolve(path: Path, cwd: Path) -> tuple[Path | None, str | None, str | None]:
    """The file meant by `path`, or what is wrong with it and a hint."""
    shown = shown_path(path, cwd)
    try:
        if path.is_dir():
            inside = [name for name in (*_USUAL, *_USUAL_JAVASCRIPT) if (path / name).is_file()]
            hint = f'did you mean "{shown_path(path / inside[0], cwd)}"?' if inside else "name a file in it"
            return None, limits.entry_is_directory(shown), hint
        if not path.suffix:
            # wrangler completes a name without an ending.
            for suffix in _SUFFIXES:
                if path.with_name(path.name + suffix).is_file():
                    return _absolute(path.with_name(path.name + suffix)), None, None
        if not path.exists():
            return None, limits.entry_not_found(shown), _near(path)
        if not path.is_file():
            return None, f'The entry-point "{shown}" is not a regular file.', None
    except (OSError, ValueError) as error:  # no permission, a loop of links, a NUL in the name
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return None, f'The entry-point file at "{shown}" cannot be read: {reason}.', None
    if path.suffix not in _SUFFIXES:
        text = f'The entry-point file "{shown}" is neither Python nor JavaScript nor TypeScript.'
        return None, text, f"it may end in {', '.join(_SUFFIXES)}"
    return _absolute(path), None, None


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - as wrangler: `..` goes away, links stay


def _near(path: Path) -> str | None:
    """The file that was most likely meant by one that does not exist."""
    if not path.parent.is_dir():
        return f'there is no folder "{path.parent.name}"'
    names = [entry.name for entry in path.parent.iterdir() if entry.suffix in _SUFFIXES and entry.is_file()]
    near = nearest(path.name, names)
    if near:
        return f'did you mean "{near}"?'
    return (
        f"in that folder: {', '.join(sorted(names)[:5])}" if names else "that folder has no Python or JavaScript file"
    )


def _report_missing(sections: Sections, root: Path) -> None:
    report = sections.top.report
    pages = sections.top.get("pages_build_output_dir")
    site = sections.top.get("site")
    assets = sections.inherited("assets")
    if pages is not None:
        report.error(limits.PAGES_PROJECT, pages.path, "wpy runs Workers; use `wrangler pages dev` for a Pages project")
        return
    suggested = "src/entry.py"
    there = [name for name in (*_USUAL, *_USUAL_JAVASCRIPT) if (root / name).is_file()]
    if there:
        suggested = there[0]
    text = limits.NO_ENTRY
    if assets is not None:
        text += "\nThe config has only static assets, and wpy serves none yet."
    elif site is not None and isinstance(site.value, dict) and isinstance(site.value.get("entry-point"), str):
        suggested = site.value["entry-point"]
    report.error(text, sections.active.path, f"add {report.setting('main', suggested)}")
