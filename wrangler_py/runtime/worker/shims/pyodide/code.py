"""`pyodide.code`: relaxed calls, and evaluation of Python text."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, NoReturn

from ..js.core import raise_js


@lru_cache
def _signature(func: Callable) -> inspect.Signature | None:
    try:
        return inspect.signature(func)
    except (TypeError, ValueError):
        return None


def relaxed_call(func: Callable, *args: Any, **kwargs: Any) -> Any:
    """Call `func` without the arguments that it has no parameters for, as JavaScript does."""
    signature = _signature(func)
    if signature is None:
        return func(*args, **kwargs)
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        args = args[: sum(kind in places for kind in kinds)]
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        kwargs = {name: value for name, value in kwargs.items() if name in signature.parameters}
    return func(*args, **kwargs)


def relaxed_wrap(func: Callable) -> Callable:
    """Decorator: `func`, always called relaxed."""

    @wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return relaxed_call(func, *args, **kwargs)

    return wrapper


def run_js(code: str, /) -> NoReturn:
    """There is no JavaScript engine here, and Workers forbid eval."""
    raise_js("EvalError", "Code generation from strings disallowed for this context")


def eval_code(source: str, globals: dict | None = None, locals: dict | None = None, **_options: Any) -> Any:
    """Run Python text; the value of its last expression statement, or None."""
    scope: dict = {} if globals is None else globals
    tree = ast.parse(source)
    last: Any = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<exec>", "exec"), scope, locals)
    return None if last is None else eval(compile(ast.Expression(last.value), "<exec>", "eval"), scope, locals)


async def eval_code_async(source: str, globals: dict | None = None, locals: dict | None = None, **_options: Any) -> Any:
    """Run Python text that may await; the value of its last expression statement, or None."""
    scope: dict = {} if globals is None else globals
    tree = ast.parse(source)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    last: Any = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    result = eval(compile(tree, "<exec>", "exec", flags=flags), scope, locals)
    if inspect.iscoroutine(result):
        await result
    if last is None:
        return None
    value = eval(compile(ast.Expression(last.value), "<exec>", "eval", flags=flags), scope, locals)
    return await value if inspect.iscoroutine(value) else value


def find_imports(source: str) -> list[str]:
    """The top-level packages that Python text imports; none for text that does not parse."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return sorted(found)
