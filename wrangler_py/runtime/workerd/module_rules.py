"""As what files are imported: wrangler's rules, and the config's own before them (wrangler 4.86, deployment-bundle/rules.ts)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from wrangler_py.config.binding_types import Rule

_DEFAULTS = (
    Rule("Text", ("**/*.txt", "**/*.html", "**/*.sql")),
    Rule("Data", ("**/*.bin",)),
    Rule("CompiledWasm", ("**/*.wasm", "**/*.wasm?module")),
)
#: With `no_bundle` the JavaScript files beside the entry are modules too.
_UNBUNDLED = (Rule("ESModule", ("**/*.js", "**/*.mjs")), *_DEFAULTS)
_NO_LOADER = re.compile(r'No loader is configured for "\.[^"]+" files: (\S+)')


class ModuleRules:
    """The rules that count. A rule ends those of its type that come after it, unless its `fallthrough` is true."""

    def __init__(self, own: Sequence[Rule], *, bundled: bool = True) -> None:
        self.counting: list[Rule] = []
        self._ignored: list[Rule] = []
        #: What wrangler warns of: rules that one before them ends without saying that it means to.
        self.warnings: list[str] = []
        ended: dict[str, tuple[Rule, list[Rule]]] = {}
        for rule in (*own, *(_DEFAULTS if bundled else _UNBUNDLED)):
            if rule.type in ended:
                self._ignored.append(rule)
                ended[rule.type][1].append(rule)
                continue
            self.counting.append(rule)
            if rule.fallthrough is not True:
                ended[rule.type] = (rule, [])
        for last, after in ended.values():
            if after and last.fallthrough is None:
                listed = ", ".join(_shown(rule) + ("" if rule in own else " (default)") for rule in after)
                self.warnings.append(
                    f"The module rule {_shown(last)} does not have a fallback, the following rules will be ignored: {listed}. "
                    "Add fallthrough = true to the rule to allow the next rule to be used, or fallthrough = false to silence "
                    "this warning"
                )

    def refusal(self, file: str) -> str | None:
        """Why a file cannot be imported that only a rule which does not count is for; the text is wrangler's."""
        if _is_for(self.counting, file):
            return None
        for rule in self._ignored:
            if _is_for([rule], file):
                return (
                    f"The file {file} matched a module rule in your configuration ({_shown(rule)}), but was ignored because a "
                    "previous rule with the same type was not marked as `fallthrough = true`."
                )
        return None

    def explain(self, text: str) -> str:
        """What esbuild says, with the reason for a file that a rule would have been for."""
        for file in _NO_LOADER.findall(text):
            refusal = self.refusal(file)
            if refusal is not None:
                return f"{text}\n\n{refusal}"
        return text


def _is_for(rules: Sequence[Rule], file: str) -> bool:
    return any(file.endswith(glob.removesuffix("?module").rpartition("*")[2]) for rule in rules for glob in rule.globs)


def _shown(rule: Rule) -> str:
    return json.dumps({"type": rule.type, "globs": list(rule.globs)})
