"""How one writes a setting in the syntax of a config file, for hints. No file is as good as wrangler.toml."""

from __future__ import annotations

from pathlib import Path

from wrangler_py.config.jsvalues import js_stringify


def setting(file: Path | None, key: str, value: object) -> str:
    """`key = value`, or `"key": value`."""
    written = js_stringify(value).replace('","', '", "')
    return f"{key} = {written}" if _is_toml(file) else f'"{key}": {written}'


def entry(file: Path | None, list_name: str, **fields: object) -> str:
    """What to add for one more entry of a list, behind the word "add"."""
    if _is_toml(file):
        return f"[[{list_name}]] with " + " and ".join(setting(file, key, value) for key, value in fields.items())
    return "{" + ", ".join(setting(file, key, value) for key, value in fields.items()) + f"}} to {list_name}"


def crons(file: Path | None, expression: str = "*/5 * * * *") -> str:
    """A whole section of triggers, behind the word "write" or "add"."""
    written = setting(file, "crons", [expression])
    return f"[triggers] and {written}" if _is_toml(file) else f'"triggers": {{{written}}}'


def _is_toml(file: Path | None) -> bool:
    return file is None or file.suffix == ".toml"
