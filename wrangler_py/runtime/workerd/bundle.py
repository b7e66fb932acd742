"""Bundling a Worker's modules with the esbuild command, with the options that wrangler gives it.

Files that are no JavaScript become modules of their own, by the same rules as in wrangler: text is inlined, `.wasm` and
`.bin` are copied beside the bundle and stay imports, which workerd resolves.

Sources of the options: wrangler 4.86, `deployment-bundle/bundle.ts` and `rules.ts`.
"""

from __future__ import annotations

import asyncio
import fnmatch
import json
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, field

from wrangler_py.config.model import WorkerConfig
from wrangler_py.runtime.texts import NOT_EXPORTED
from wrangler_py.runtime.workerd import node_modules
from wrangler_py.runtime.workerd.locate import Binary
from wrangler_py.runtime.workerd.module_rules import ModuleRules

#: How a module is handed to workerd (workerd.capnp, Worker.Module).
ModuleKind = Literal["esModule", "commonJsModule", "text", "data", "wasm", "json"]
#: The name of the bundled entry module.
ENTRY = "index.js"
_SOURCE_MAP = ENTRY + ".map"

_KINDS: dict[str, ModuleKind] = {
    "ESModule": "esModule",
    "CommonJS": "commonJsModule",
    "CompiledWasm": "wasm",
    "Text": "text",
    "Data": "data",
}
#: What esbuild loads by itself; a rule cannot make anything else of it.
_OWN_SUFFIXES = (".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".tsx", ".jsx", ".json", ".css")


class BuildError(Exception):
    """The Worker could not be built. The text shows file, line and caret where there is one."""


class Module(Struct, frozen=True):
    """One module of a built Worker. `name` is what imports resolve to, relative to the entry; `file` holds it."""

    name: str
    kind: ModuleKind
    file: Path


class Bundle(Struct, frozen=True):
    """A built Worker. The first module is the entry."""

    modules: tuple[Module, ...]
    #: Names that the entry exports ("default", classes).
    exports: tuple[str, ...] = ()
    #: The user's source files, absolute; without what lies in `node_modules`.
    files: tuple[str, ...] = ()
    source_map: Path | None = None
    #: What the paths in the source map are relative to.
    base: Path = field(default_factory=Path)
    #: Compatibility flags that the imports need beside the config's.
    flags: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    #: Whether it is in the service worker format: a script that listens for events and exports nothing.
    service_worker: bool = False


async def build(config: WorkerConfig, out: Path, esbuild: Binary | None, *, inline_map: bool = False) -> Bundle:
    """Build a Worker into the empty folder `out`. Raises BuildError.

    `esbuild` may be None with `no_bundle`. `inline_map`: the source map is put into the bundle, for a debugger.
    """
    if config.bundling.no_bundle:
        return await asyncio.to_thread(_copy, config, out)
    assert esbuild is not None
    return await _bundle(config, out, esbuild, inline_map)


# With esbuild ---------------------------------------------------------------------------------------------------------


async def _bundle(config: WorkerConfig, out: Path, esbuild: Binary, inline_map: bool) -> Bundle:
    rules = ModuleRules(config.bundling.rules)
    built = await _with_format("esm", config, out, esbuild, inline_map, rules)
    if not built.exports and _listens((out / ENTRY).read_text(encoding="utf-8")):
        # As a module it would be in strict mode, which a script is not.
        built = await _with_format("iife", config, out, esbuild, inline_map, rules)
    return built


async def _with_format(
    form: Literal["esm", "iife"], config: WorkerConfig, out: Path, esbuild: Binary, inline_map: bool, rules: ModuleRules
) -> Bundle:
    meta = out / "meta.json"
    loaders, copied = _loaders(rules)
    arguments = [
        str(config.main),
        f"--format={form}",
        *_options(config, esbuild.version),
        *(f"--loader:{suffix}={loader}" for suffix, loader in loaders.items()),
        f"--outdir={out}",
        f"--entry-names={ENTRY.removesuffix('.js')}",
        "--asset-names=[name]-[hash]",
        f"--metafile={meta}",
        f"--sourcemap={'both' if inline_map else 'external'}",
        "--log-level=warning",
        "--log-limit=0",
        "--color=false",
    ]
    process = await asyncio.create_subprocess_exec(
        esbuild.path,
        *arguments,
        cwd=config.root,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is wpy's to answer
    )
    try:
        _, said = await process.communicate()
    except asyncio.CancelledError:
        if process.returncode is None:
            process.kill()
        raise
    text = said.decode("utf-8", "replace").strip()
    if process.returncode != 0:
        raise BuildError(rules.explain(_explained(text, config)))
    return _built(config, out, json.loads(meta.read_bytes()), copied, text, rules)


def _options(config: WorkerConfig, version: str) -> list[str]:
    bundling, flags = config.bundling, config.compatibility_flags
    target = "es2024" if _version(version) >= (0, 22) else "es2022"
    options = [
        "--bundle",
        f"--target={target}",
        "--conditions=workerd,worker,browser",
        "--main-fields=browser,module,main",
        "--external:cloudflare:*",
        "--external:node:*",
        "--external:__STATIC_CONTENT_MANIFEST",
        '--define:process.env.NODE_ENV="development"',
        '--define:global.process.env.NODE_ENV="development"',
        '--define:globalThis.process.env.NODE_ENV="development"',
        '--define:navigator.userAgent="Cloudflare-Workers"' if "global_navigator" in flags else "",
        "--loader:.js=jsx",
        "--loader:.mjs=jsx",
        "--loader:.cjs=jsx",
        "--keep-names" if bundling.keep_names is not False else "",
        "--minify" if bundling.minify else "",
        f"--jsx-factory={bundling.jsx_factory}" if bundling.jsx_factory else "",
        f"--jsx-fragment={bundling.jsx_fragment}" if bundling.jsx_fragment else "",
        f"--tsconfig={bundling.tsconfig}" if bundling.tsconfig else "",
    ]
    if _version(version) >= (0, 24, 3):
        options.append("--supported:import-source=true")
    if node_modules.enabled(flags):
        options += [f"--external:{name}" for name in node_modules.BUILTINS]
    options += [f"--define:{name}={value}" for name, value in bundling.define.items()]
    options += [f"--alias:{name}={value}" for name, value in bundling.alias.items()]
    return [option for option in options if option]


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


def _loaders(rules: ModuleRules) -> tuple[dict[str, str], dict[str, ModuleKind]]:
    """esbuild's loader for every suffix that a rule names, and as what the copied files are handed to workerd."""
    loaders: dict[str, str] = {}
    copied: dict[str, ModuleKind] = {}
    for rule in rules.counting:
        kind = rule.type
        for glob in rule.globs:
            suffix = re.search(r"(\.[A-Za-z0-9_-]+)(\?module)?$", glob)
            if suffix is None or suffix.group(1) in loaders or suffix.group(1) in _OWN_SUFFIXES or kind not in _KINDS:
                continue
            if kind == "Text":
                loaders[suffix.group(1)] = "text"
            elif kind in ("Data", "CompiledWasm"):
                loaders[suffix.group(1)] = "copy"
                copied[suffix.group(1)] = _KINDS[kind]
            else:
                loaders[suffix.group(1)] = "js"
    return loaders, copied


def _built(
    config: WorkerConfig,
    out: Path,
    meta: dict[str, Any],
    copied: dict[str, ModuleKind],
    said: str,
    rules: ModuleRules,
) -> Bundle:
    for path in meta["inputs"]:  # esbuild has a rule of its own for .txt
        refusal = None if path.startswith("<") else rules.refusal(path)
        if refusal is not None:
            raise BuildError(refusal)
    exports: tuple[str, ...] = ()
    externals: set[str] = set()
    modules: list[Module] = []
    for path, output in meta["outputs"].items():
        file = Path(os.path.normpath(config.root / path))
        if "entryPoint" in output:
            exports = tuple(output["exports"])
            for imported in output["imports"]:
                if imported.get("external"):
                    externals.add(imported["path"])
            continue
        kind = copied.get(file.suffix)
        if kind is not None:
            modules.append(Module(file.name, kind, file))
            if kind == "wasm":
                modules.append(Module(f"{file.name}?module", kind, file))
    script = not exports and _listens((out / ENTRY).read_text(encoding="utf-8"))
    if not script:
        _check_exports(config, exports)
    modules.insert(0, Module(ENTRY, "commonJsModule" if script else "esModule", out / ENTRY))
    _check_classes(config, exports)
    inputs = (Path(os.path.normpath(config.root / path)) for path in meta["inputs"] if not path.startswith("<"))
    files = tuple(str(path) for path in inputs if "node_modules" not in path.parts)
    flags, warnings = node_modules.needed(externals, config.compatibility_date, config.compatibility_flags)
    told = (*rules.warnings, *warnings, *_warnings(said))
    return Bundle(tuple(modules), exports, files, out / _SOURCE_MAP, out, flags, told, script)


def _listens(script: str) -> bool:
    """Whether a script that exports nothing is a Worker in the service worker format."""
    return re.search(r"\baddEventListener\s*\(", script) is not None


def _check_exports(config: WorkerConfig, exports: Sequence[str]) -> None:
    if not exports:
        raise BuildError(
            f"{_shown(config.main, config.root)} exports nothing, so it is no Worker in the modules format. Begin with\n\n"
            "    export default {\n"
            '      async fetch(request, env, ctx) { return new Response("Hello"); },\n'
            "    };\n"
        )


def _check_classes(config: WorkerConfig, exports: Sequence[str]) -> None:
    """Raises BuildError for a class of the config that the entry does not export; the first line is wrangler's."""
    for kind, bindings in (("Durable Objects", config.durable_objects), ("Workflows", config.workflows)):
        own = [binding.class_name for binding in bindings if binding.script_name in (None, config.name)]
        missing = [name for name in dict.fromkeys(own) if name not in exports]
        if missing:
            raise BuildError(
                f"{NOT_EXPORTED.format(kind=kind, names=', '.join(missing))}\nYou should export these objects from your entrypoint, "
                f"{_shown(config.main, config.root)}."
            )


def _warnings(said: str) -> list[str]:
    """esbuild's warnings, each with its place."""
    return [block.strip() for block in re.split(r"\n(?=▲ )", said) if block.strip()] if said else []


_UNRESOLVED_NODE = re.compile(r'Could not resolve "((?:node:)?[a-z_/]+)"')


def _explained(text: str, config: WorkerConfig) -> str:
    for name in _UNRESOLVED_NODE.findall(text):
        if name.removeprefix("node:") in node_modules.BUILTINS and not node_modules.enabled(config.compatibility_flags):
            return (
                f'{text}\n\nThe package "{name}" is one of Node.js\'s own. To have it, add "nodejs_compat" to '
                "compatibility_flags."
            )
    return text


def _shown(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


# Without it -----------------------------------------------------------------------------------------------------------


def _copy(config: WorkerConfig, out: Path) -> Bundle:
    """`no_bundle`: the entry as it is, and as modules the files beside it that the rules name."""
    if config.main.suffix in (".ts", ".tsx", ".mts", ".cts", ".jsx"):
        raise BuildError(
            f"{_shown(config.main, config.root)} is {'TypeScript' if 't' in config.main.suffix else 'JSX'}, and "
            "`no_bundle` runs files as they are. Leave `no_bundle` out, or build to JavaScript first and name the result "
            "in `main`."
        )
    base = config.bundling.base_dir or config.main.parent
    source = config.main.read_text(encoding="utf-8")
    script = not re.search(r"\bexport\b", source) and _listens(source)
    if not script and not re.search(r"\bexport\b", source):
        _check_exports(config, ())
    entry_name = config.main.relative_to(base).as_posix() if config.main.is_relative_to(base) else config.main.name
    found: list[tuple[str, ModuleKind, Path]] = [(entry_name, "commonJsModule" if script else "esModule", config.main)]
    if config.bundling.find_additional_modules is not False:
        found += _beside(config, base)
    modules = []
    for name, kind, file in found:
        copy = out / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
        modules.append(Module(name, kind, copy))
        if kind == "wasm":
            modules.append(Module(f"{name}?module", kind, copy))
    files = tuple(str(file) for _, _, file in found)
    imported = set(re.findall(r"""["'](node:[a-z_/]+)["']""", source))
    flags, warnings = node_modules.needed(imported, config.compatibility_date, config.compatibility_flags)
    return Bundle(tuple(modules), (), files, None, base, flags, tuple(warnings), script)


def _beside(config: WorkerConfig, base: Path) -> Iterable[tuple[str, ModuleKind, Path]]:
    rules = ModuleRules(config.bundling.rules, bundled=False).counting
    for folder, folders, names in os.walk(base):
        folders[:] = sorted(name for name in folders if name != "node_modules" and not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            relative = path.relative_to(base).as_posix()
            kind = next((rule.type for rule in rules if any(_matches(relative, glob) for glob in rule.globs)), None)
            if kind in _KINDS and path != config.main:
                yield relative, _KINDS[kind], path


def _matches(path: str, glob: str) -> bool:
    # `**/` stands for no folder as well.
    return fnmatch.fnmatch(path, glob) or (glob.startswith("**/") and fnmatch.fnmatch(path, glob[3:]))
