"""Entry point of a worker's process: `python -B -X utf8 .../worker/__main__.py <fd>`.

`<fd>` is an inherited stream socket, or `tcp:<port>:<token>` where sockets cannot be inherited (Windows): then the
process connects to 127.0.0.1 and says the token, followed by a newline, first.

It is started by its path, so that it also works under an interpreter that has no wpy installed. Python then puts this
folder at the head of `sys.path`, which would let a user's `import frames` or `import loop` find files of this package:
the folder is taken out again and the package made importable under its own name instead.
"""

import importlib
import os
import sys
import types


def main(argv: list[str]) -> int:
    if len(argv) != 2:
        print("usage: python -B -X utf8 worker/__main__.py <fd> | tcp:<port>:<token>", file=sys.stderr)
        return 2
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  (pathlib costs 4 ms of start-up)
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]  # noqa: PTH100
    package = types.ModuleType("_wpy_worker")
    package.__path__ = [here]
    sys.modules["_wpy_worker"] = package
    boot = importlib.import_module("_wpy_worker.boot")
    boot.run(argv[1])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
