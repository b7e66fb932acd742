"""docs/cron.md shows what the commands really print."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "cron.md"
EXAMPLES = re.findall(r"^```console\n\$ (.+)\n((?:.*\n)*?)```$", PAGE.read_text(), re.MULTILINE)


def test_there_are_examples():
    assert len(EXAMPLES) == 4


@pytest.mark.parametrize(("command", "printed"), EXAMPLES, ids=[command for command, _ in EXAMPLES])
def test_example(command, printed, tmp_path):
    wpy = f'"{sys.executable}" -m wrangler_py'
    env = {key: value for key, value in os.environ.items() if key != "FORCE_COLOR"}
    done = subprocess.run(
        re.sub(r"(^|\| )wpy ", rf"\g<1>{wpy} ", command),
        shell=True,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        env={**env, "TZ": "UTC"},
    )
    assert done.stdout.decode().rstrip("\n") == printed.rstrip("\n")
