"""`wpy_env`, and `env` in tests that are not async."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wrangler_py.testing.kit import Wpy


class LiveEnv:
    """`env` of the first worker, found when it is asked for."""

    def __init__(self, wpy: Wpy) -> None:
        self._wpy = wpy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wpy.env, name)


class LazyEnv:
    """`env` where no loop runs: variables are what they are, calls of bindings are made once they are awaited."""

    def __init__(self, env: Any) -> None:
        self._env = env

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._env, name)
        return value if isinstance(value, str | int | float | dict | list | None) else LazyCall(lambda: value)


class LazyCall:
    """A chain such as `env.DB.prepare(...).bind(...).first()`, for `wpy.run(...)`."""

    def __init__(self, evaluate: Callable[[], Any]) -> None:
        self._evaluate = evaluate

    def __getattr__(self, name: str) -> LazyCall:
        if name.startswith("__"):
            raise AttributeError(name)
        return LazyCall(lambda: getattr(self._evaluate(), name))

    def __call__(self, *args: Any, **options: Any) -> LazyCall:
        def call() -> Any:
            given = [_value(argument) for argument in args]
            return self._evaluate()(*given, **{name: _value(value) for name, value in options.items()})

        return LazyCall(call)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._wait().__await__()

    async def _wait(self) -> Any:
        value = self._evaluate()
        return await value if hasattr(value, "__await__") else value


def _value(argument: Any) -> Any:
    if isinstance(argument, LazyCall):
        return argument._evaluate()
    return [_value(one) for one in argument] if isinstance(argument, list) else argument
