"""`wpy` and `python -m wrangler_py`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line. Ends the process with its exit code."""
    arguments = sys.argv[1:]
    first = None
    inspects = any(argument.partition("=")[0] == "--inspect" for argument in arguments)
    if arguments[:1] == ["dev"] and not {"-h", "--help"} & set(arguments) and not inspects:
        # The first worker process starts before anything else is imported, so that both start side by side.
        from wrangler_py.runtime.python.spawn import spawn

        first = spawn()
    from wrangler_py.cli.main import run

    run(arguments, first)


def _only_javascript(arguments: list[str]) -> bool:
    """Whether this looks like a session without Python Workers, which needs no Python process: a guess from the texts of the
    configs, before anything that reads them is imported. A wrong one costs some time and nothing else."""
    import os
    import re
    from itertools import pairwise

    configs = [after for option, after in pairwise(arguments) if option in ("-c", "--config")]
    configs += [argument.partition("=")[2] for argument in arguments if argument.startswith("--config=")]
    if not configs:  # os.path, because pathlib costs 10 ms
        usual = ("wrangler.json", "wrangler.jsonc", "wrangler.toml")
        configs = [name for name in usual if os.path.exists(name)][:1]  # noqa: PTH110
    main = re.compile(r"""main["']?\s*[:=]\s*["'][^"']*\.[cm]?[jt]sx?["']""")
    for config in configs:
        try:
            with open(config, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
                if main.search(file.read(100_000)) is None:
                    return False
        except OSError:
            return False
    return bool(configs)


if __name__ == "__main__":
    main()
