"""`python -m bench`: wpy and wrangler side by side."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import report
from bench.client import ceiling
from bench.processes import kill_everything
from bench.rounds import GROUPS, run, select
from bench.sides import BenchError, Side, version_of, wpy, wpy_typescript, wrangler


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure wpy against wrangler, round by round."
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="how many rounds (5; 1 with --quick)")
    parser.add_argument("--only", metavar="NAME,...", default="", help=f"of {', '.join(g.name for g in GROUPS)}")
    parser.add_argument("--quick", action="store_true", help="one round of small amounts: does it run, not how fast")
    parser.add_argument("--full", action="store_true", help="also what takes minutes: a backlog of 1,000,000")
    parser.add_argument("--typescript", action="store_true", help="both serve the same TypeScript worker")
    parser.add_argument("--alone", action="store_true", help="wpy alone, without wrangler")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report to FILE as well")
    return parser.parse_args()


def _about(sides: list[Side]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="wpy-bench-") as folder:
        versions = {side.name: version_of(side, Path(folder)) for side in sides}
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "versions": versions,
    }


def _load() -> str:
    return "/".join(f"{load:.1f}" for load in os.getloadavg())


def main() -> int:
    """Measure, print, and return the exit code: 1 when a figure could not be measured."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        only = [name for name in arguments.only.split(",") if name]
        groups = select(only, full=arguments.full, typescript=arguments.typescript)
        ours = wpy_typescript() if arguments.typescript else wpy()
        if isinstance(ours, str):
            raise BenchError(ours)
        sides = [ours]
        other = "wrangler is left out, as asked." if arguments.alone else wrangler()
        if isinstance(other, str):
            print(other)
        else:
            sides.append(other)
        about = _about(sides)
        about["load_before"] = _load()
        results = run(sides, groups, arguments.rounds or (1 if arguments.quick else 5), quick=arguments.quick)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        kill_everything()
    found = report.figures(results, groups)
    about["load_after"] = _load()
    print(f"{about['date']}, {about['machine']}, Python {about['python']}, {results.rounds} round(s)")
    print(f"load average before {about['load_before']}, after {about['load_after']}")
    print(", ".join(f"{name} {version}" for name, version in about["versions"].items()))
    if any(group.name.startswith("fetch") for group in groups):
        about["generator"] = ceiling(0.5)
        print(
            f"16 connections by bench/client.py, which here does {about['generator']:,.0f} req/s against a server "
            "that answers a constant from the same process"
        )
    print()
    print(report.render(found, results))
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(report.as_json(found, results, about), indent=1) + "\n")
    return 1 if results.failures else 0


if __name__ == "__main__":
    sys.exit(main())
