"""Bindings other than queues: which there are, what they are called in `env`, who serves them, and which names clash.

A kind that the Worker's runtime cannot serve is named in a warning, so that a missing `env.X` surprises nobody. The one
place where a kind becomes served is `Kind.served`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, field

from wrangler_py.config import limits_and_texts as limits
from wrangler_py.config.binding_checks import check_entry
from wrangler_py.config.binding_types import Assets
from wrangler_py.config.binding_values import READERS, typed_value
from wrangler_py.config.environments import Field, Section, Sections
from wrangler_py.config.jsvalues import js_stringify
from wrangler_py.config.model import UnsupportedBinding
from wrangler_py.config.positions import FieldPath, dotted
from wrangler_py.config.problems import Report

#: `list`: an array of tables. `bindings`: a table with such an array in it. `one`: a single table.
#: `files`: a table from names to files.
Shape = Literal["list", "bindings", "one", "files"]
Language = Literal["python", "javascript"]


class Kind(Struct, frozen=True):
    """One kind of binding, under the name that wrangler prints for it."""

    friendly: str
    shape: Shape = "list"
    #: The field that holds the name in `env`.
    name: str = "binding"
    inherited: bool = False
    #: False for what a Worker is connected to without seeing it in `env`.
    in_env: bool = True
    #: The languages of the Workers that are served this kind.
    served: frozenset[Language] = frozenset()


#: For `Kind.served`.
PYTHON: frozenset[Language] = frozenset({"python"})
JAVASCRIPT: frozenset[Language] = frozenset({"javascript"})
BOTH = PYTHON | JAVASCRIPT


#: wrangler's `friendlyBindingNames` in its order, and three connections that are no bindings.
KINDS = {
    "data_blobs": Kind("Data Blob", "files"),
    "durable_objects": Kind("Durable Object", "bindings", "name", served=BOTH),
    "kv_namespaces": Kind("KV Namespace", served=BOTH),
    "send_email": Kind("Send Email", name="name", served=BOTH),
    "d1_databases": Kind("D1 Database", served=BOTH),
    "vectorize": Kind("Vectorize Index"),
    "ai_search_namespaces": Kind("AI Search Namespace"),
    "ai_search": Kind("AI Search Instance"),
    "hyperdrive": Kind("Hyperdrive Config", served=BOTH),
    "r2_buckets": Kind("R2 Bucket", served=BOTH),
    "logfwdr": Kind("logfwdr", "bindings", "name", inherited=True),
    "services": Kind("Worker", served=BOTH),
    "analytics_engine_datasets": Kind("Analytics Engine Dataset", served=BOTH),
    "text_blobs": Kind("Text Blob", "files"),
    "browser": Kind("Browser Run", "one"),
    "ai": Kind("AI", "one"),
    "images": Kind("Images", "one"),
    "stream": Kind("Stream", "one"),
    "media": Kind("Media", "one"),
    "version_metadata": Kind("Worker Version Metadata", "one", served=BOTH),
    "unsafe": Kind("Unsafe Metadata", "bindings", "name"),
    "wasm_modules": Kind("Wasm Module", "files"),
    "dispatch_namespaces": Kind("Dispatch Namespace"),
    "mtls_certificates": Kind("mTLS Certificate", served=PYTHON),
    "workflows": Kind("Workflow", served=BOTH),
    "pipelines": Kind("Pipeline"),
    "secrets_store_secrets": Kind("Secrets Store Secret", served=BOTH),
    "artifacts": Kind("Artifacts"),
    "ratelimits": Kind("Rate Limit", name="name", served=BOTH),
    "assets": Kind("Assets", "one", inherited=True, served=BOTH),
    "unsafe_hello_world": Kind("Hello World"),
    "flagship": Kind("Flagship"),
    "worker_loaders": Kind("Worker Loader"),
    "vpc_services": Kind("VPC Service"),
    "vpc_networks": Kind("VPC Network"),
    "tail_consumers": Kind("Tail Consumer", name="service", in_env=False),
    "streaming_tail_consumers": Kind("Streaming Tail Consumer", name="service", in_env=False),
    "containers": Kind("Container", name="class_name", in_env=False),
}
QUEUE = "Queue"
VARIABLE = "Environment Variable"
SECRET = "Secret"
#: Queues and variables are no kinds of this table; they stand behind these in wrangler's list.
_BESIDES = {"send_email": QUEUE, "unsafe": VARIABLE}
#: In which order wrangler lists the kinds that share a name.
_ORDER = [name for key, kind in KINDS.items() for name in (kind.friendly, _BESIDES.get(key)) if name] + [SECRET]
_TOP_LEVEL_ONLY = {key for key, kind in KINDS.items() if kind.shape == "files"}


class Named(Struct, frozen=True):
    """A name in `env` and where it is given."""

    name: str
    kind: str
    path: FieldPath


class Bindings(Struct):
    """What a config binds besides queues, variables and secrets."""

    #: For the fields of WorkerConfig that are named like the sections.
    values: dict[str, Any] = field(default_factory=dict)
    unsupported: list[UnsupportedBinding] = field(default_factory=list)
    #: Every name taken in `env`.
    named: list[Named] = field(default_factory=list)


def read_bindings(sections: Sections, language: Language, root: Path, environ: Mapping[str, str]) -> Bindings:
    """Check the bindings in each section and read them from the one that counts.

    `root`: the config's folder. `environ`: where a Hyperdrive's local connection string may be set.
    """
    found = Bindings()
    for key, kind in KINDS.items():
        for section in sections.each():
            given = section.get(key)
            if given is not None:
                _check_shape(section, key, kind, given)
        if key in _TOP_LEVEL_ONLY:
            chosen = sections.top.get(key)
        else:
            chosen = sections.inherited(key) if kind.inherited else sections.own(key)
        if chosen is None:
            continue
        report = sections.active.report
        if key in READERS:
            _read_values(found, key, kind, chosen, root, environ)
        if key == "assets":
            _check_folder(report, found.values.get(key), chosen.path)
        served = language in kind.served
        for name, path in _names(kind, chosen):
            in_env = kind.in_env and (key != "assets" or _asset_binding(chosen.value))
            if in_env:
                found.named.append(Named(name, kind.friendly, path))
            if not served:
                found.unsupported.append(UnsupportedBinding(kind.friendly, name, dotted(path), in_env))
                report.warning(_unserved_text(kind, name, in_env), path)
        if served:
            _warn_of_remote(report, kind, chosen)
    _check_distinct_workflows(sections)
    return found


def _unserved_text(kind: Kind, name: str, in_env: bool) -> str:
    if not kind.in_env:
        return f'wpy does not serve the {kind.friendly} "{name}" yet.'
    if not in_env:
        return "wpy does not serve static assets yet: only the Worker answers."
    return limits.unsupported_binding(kind.friendly, name)


def _read_values(found: Bindings, key: str, kind: Kind, chosen: Field, root: Path, environ: Mapping[str, str]) -> None:
    values = [
        value
        for entry, _ in _entries(kind, chosen)
        if isinstance(entry, dict) and (value := typed_value(key, entry, root, environ)) is not None
    ]
    if kind.shape != "one":
        found.values[key] = tuple(values)
    elif values:
        found.values[key] = values[0]


def _check_folder(report: Report, assets: Any, path: FieldPath) -> None:
    """A build may make the folder later: a warning here, where wrangler ends."""
    if isinstance(assets, Assets) and assets.directory is not None and not assets.directory.is_dir():
        report.warning(
            limits.no_assets_directory(assets.directory),
            (*path, "directory"),
            "build the site first, or mend the path, which starts at the config's folder; wrangler refuses to start",
            stops_deploy=True,
        )


def _warn_of_remote(report: Report, kind: Kind, chosen: Field) -> None:
    for entry, path in _entries(kind, chosen):
        if isinstance(entry, dict) and entry.get("remote") is True:
            report.warning(limits.remote_binding(dotted(path), kind.friendly), (*path, "remote"), "remove `remote`")


def _check_distinct_workflows(sections: Sections) -> None:
    """wrangler: validateUniqueNameProperty."""
    for section in sections.each():
        given = section.get("workflows")
        entries = given.value if given is not None and isinstance(given.value, list) else []
        names = [name for entry in entries if isinstance(entry, dict) and isinstance(name := entry.get("name"), str)]
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if given is not None and twice:
            listed = '", "'.join(twice)
            text = f'"{section.name_of("workflows")}" bindings must have unique "name" values; duplicate(s) found: "{listed}"'
            section.report.error(text, given.path)


def _asset_binding(assets: Any) -> bool:
    return isinstance(assets, dict) and isinstance(assets.get("binding"), str)


def _entries(kind: Kind, found: Field) -> Iterable[tuple[Any, FieldPath]]:
    value, path = found.value, found.path
    if kind.shape == "bindings":
        value, path = (value.get("bindings") if isinstance(value, dict) else None), (*path, "bindings")
    if kind.shape == "one":
        # An empty table is wrangler's way of saying "none".
        return [(value, path)] if isinstance(value, dict) and value else []
    return [(entry, (*path, i)) for i, entry in enumerate(value)] if isinstance(value, list) else []


def _names(kind: Kind, found: Field) -> Iterable[tuple[str, FieldPath]]:
    if kind.shape == "files":
        return [(name, (*found.path, name)) for name in found.value] if isinstance(found.value, dict) else []
    names = []
    for entry, path in _entries(kind, found):
        name = entry.get(kind.name) if isinstance(entry, dict) else None
        if isinstance(name, str):
            names.append((name, path))
        elif kind.friendly == "Assets":
            names.append((str(entry.get("directory", "assets")), path))
    return names


def _check_shape(section: Section, key: str, kind: Kind, found: Field) -> None:
    """wrangler's checks of one section."""
    report, shown = section.report, section.name_of(key)
    value = found.value
    if kind.shape == "list":
        if not isinstance(value, list):
            report.error(limits.should_be(shown, "an array", value), found.path)
            return
    elif not isinstance(value, dict):
        report.error(limits.should_be(shown, "an object", value), found.path)
        return
    if kind.shape == "bindings" and not isinstance(value.get("bindings", []), list):
        text = limits.should_be(f"{shown}.bindings", "an array", value["bindings"])
        report.error(text, (*found.path, "bindings"))
        return
    for entry, path in _entries(kind, found):
        if not isinstance(entry, dict):
            report.error(f'"{key}" bindings should be objects, but got {js_stringify(entry)}', path)
        elif not isinstance(entry.get(kind.name), str) and kind.friendly != "Assets":
            report.error(limits.binding_without_name(dotted(path), kind.name, entry), path)
        if isinstance(entry, dict):
            check_entry(key, report, entry, path)


def check_unique(sections: Sections, named: Iterable[Named]) -> None:
    """Every name in `env` may be given once (wrangler: validateBindingsHaveUniqueNames)."""
    by_name: dict[str, list[Named]] = {}
    for one in named:
        by_name.setdefault(one.name, []).append(one)
    report = sections.active.report
    for name, givers in by_name.items():
        kinds = sorted({one.kind for one in givers}, key=_ORDER.index)
        where = givers[1].path if len(givers) > 1 else ()
        first = f"{dotted(givers[0].path)} has it first"
        if len(kinds) > 1:
            report.error(f"{limits.binding_kinds_clash(name, kinds)}\n{limits.UNIQUE_NAMES}", where, first)
        for kind in kinds:
            same = [one for one in givers if one.kind == kind]
            if len(same) > 1:
                text = f"{limits.binding_twice(name, kind)}\n{limits.UNIQUE_NAMES}"
                report.error(text, same[1].path, f"{dotted(same[0].path)} has it first")
