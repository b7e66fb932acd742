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


if __name__ == "__main__":
    main()
