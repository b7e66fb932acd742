"""The two private modules that workers-runtime-sdk finds in Cloudflare's runtime: `_pyodide_entrypoint_helper` and
`_cloudflare_compat_flags`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from .js.core import Function, JsProxy, function, make_object, own_entries, raise_js
from .js.promise import js_async


class CompatFlags(ModuleType):
    """`_cloudflare_compat_flags`: a flag that nobody set is off."""

    def __init__(self) -> None:
        super().__init__("_cloudflare_compat_flags")
        self.flags: dict[str, bool] = {}

    def __getattr__(self, name: str) -> bool:
        if name.startswith("__"):
            raise AttributeError(name)
        return bool(self.flags.get(name, False))


class EntrypointHelper(ModuleType):
    """`_pyodide_entrypoint_helper`. `env`, `call` and `wait_until` are set when a worker is loaded."""

    def __init__(self) -> None:
        super().__init__("_pyodide_entrypoint_helper")
        self.env: Any = make_object({})
        self.call: Callable[..., Any] = _no_session
        self.wait_until: Callable[[Any], None] = lambda awaitable: None
        self.cloudflareWorkersModule = CloudflareWorkers.new(self)
        self.cloudflareSocketsModule = make_object({"connect": Function.new(_no_sockets, "connect")})

    def patchWaitUntil(self, ctx: Any) -> None:
        """Nothing to patch: `ctx.waitUntil` takes Python's awaitables."""

    @js_async
    async def doAnImport(self, name: str) -> Any:
        """Import a JavaScript module. There is one: the helper that the SDK's workflows need."""
        if name == "cloudflare:workers":
            return self.cloudflareWorkersModule
        if name == "cloudflare:sockets":
            return self.cloudflareSocketsModule
        if name.endswith("workers/workflows.js"):
            return make_object({"wrapWorkflowStep": Function.new(lambda step: step, "wrapWorkflowStep")})
        raise_js("Error", f'No such module "{name}". (wpy runs Python Workers without a JavaScript engine.)')

    def patch_env_helper(self, changes: Any) -> Iterator[None]:
        """Put `changes` over `workers.env` until the generator is resumed."""
        before = self.env
        self.env = make_object({**before._props, **dict(own_entries(changes))})
        try:
            yield
        finally:
            self.env = before


def _no_session(*_args: Any) -> Any:
    raise_js("Error", "no session serves this process")


def _no_sockets(*_args: Any) -> Any:
    raise_js("Error", "wpy does not emulate cloudflare:sockets; use Python's own sockets or `pywrangler dev`.")


class LiveEnv(JsProxy):
    """What `import { env } from "cloudflare:workers"` gives: whatever `env` is at the moment, `patch_env` included."""

    _js_name = "Object"

    def __init__(self, helper: EntrypointHelper) -> None:
        self.__dict__["_helper"] = helper

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_helper"].env, name)

    def _own_entries(self) -> list[tuple[str, Any]]:
        return own_entries(self.__dict__["_helper"].env)


class CloudflareWorkers(JsProxy):
    """The module `cloudflare:workers`."""

    def __init__(self, helper: EntrypointHelper) -> None:
        self._helper = helper
        self._env = LiveEnv.new(helper)

    @property
    def env(self) -> Any:
        return self._env

    @property
    def waitUntil(self) -> Any:
        return _wait_until_of(self._helper)

    @property
    def exports(self) -> Any:
        """The Worker's own entrypoints, as `ctx.exports` has them."""
        from .. import context

        if context.exports is None:
            raise AttributeError("exports")
        return context.exports

    def toString(self) -> str:
        return "[object Module]"


def _wait_until_of(helper: EntrypointHelper) -> Any:
    @function
    def waitUntil(awaitable: Any = None) -> None:
        helper.wait_until(awaitable)

    return waitUntil
