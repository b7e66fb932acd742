"""`wpy` and `python -m wrangler_py`."""

from __future__ import annotations

import os
import sys

#: How the name of a JavaScript Worker's module ends.
_JAVASCRIPT = ("js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx")


def main() -> None:
    """Run the command line. Ends the process with its exit code."""
    try:
        _main(sys.argv[1:])
    except KeyboardInterrupt:  # while it imports; commands answer Ctrl-C themselves
        sys.exit(130)


def _main(arguments: list[str]) -> None:
    first = None
    inspects = any(argument.partition("=")[0] == "--inspect" for argument in arguments)
    asks = {"-h", "--help"} & set(arguments)
    if arguments[:1] == ["dev"] and not asks and not inspects and not _only_javascript(arguments):
        # The first worker process starts before anything else is imported, so that both start side by side.
        from wrangler_py.runtime.python.spawn import spawn

        first = spawn()
    from wrangler_py.cli.main import run

    run(arguments, first)


def _only_javascript(arguments: list[str]) -> bool:
    """Whether this looks like a session without Python Workers, which needs no Python process: a guess from the texts of the
    configs, before anything that reads them is imported. A wrong one costs some time and nothing else."""
    from itertools import pairwise

    configs = [after for option, after in pairwise(arguments) if option in ("-c", "--config")]
    configs += [argument.partition("=")[2] for argument in arguments if argument.startswith("--config=")]
    if not configs:  # os.path and no pattern, because pathlib and re cost 10 ms each
        usual = ("wrangler.json", "wrangler.jsonc", "wrangler.toml")
        configs = [name for name in usual if os.path.exists(name)][:1]  # noqa: PTH110
    return bool(configs) and all(map(_begins_in_javascript, configs))


def _begins_in_javascript(config: str) -> bool:
    try:
        with open(config, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            lines = file.read(100_000).splitlines()
    except OSError:
        return False
    mains = [line for line in lines if line.strip(" \t{\"'").startswith("main")]
    return any(f".{kind}{quote}" in main for main in mains for kind in _JAVASCRIPT for quote in "\"'")


if __name__ == "__main__":
    main()
