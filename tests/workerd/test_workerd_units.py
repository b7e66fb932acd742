"""Parts of the workerd runtime that need no workerd: finding binaries, dates, texts of configs, source maps, lines of logs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from wrangler_py.runtime.workerd import locate, node_modules
from wrangler_py.runtime.workerd.capnp_text import VOID, Embed, Name, config_text, quoted
from wrangler_py.runtime.workerd.locate import Binary, BinaryMissing, accepted_date, find_workerd
from wrangler_py.runtime.workerd.logs import MAX_LINES_PER_SECOND, Line, OutputReader
from wrangler_py.runtime.workerd.process import _guard
from wrangler_py.runtime.workerd.sourcemap import SourceMap, StackMapper

HERE = sys.platform == "linux"
MACHINE = 0xB7 if os.uname().machine in ("arm64", "aarch64") else 0x3E
PACKAGE = f"workerd-linux-{'arm64' if MACHINE == 0xB7 else '64'}"
ELF = b"\x7fELF\x02\x01\x01" + b"\0" * 9 + b"\2\0" + bytes([MACHINE, 0]) + b"\0" * 44


# Finding --------------------------------------------------------------------------------------------------------------


def package(folder: Path, version: str, content: bytes = ELF) -> Path:
    """A platform package as npm unpacks it."""
    binary = folder / "bin" / "workerd"
    binary.parent.mkdir(parents=True)
    binary.write_bytes(content)
    binary.chmod(0o755)
    (folder / "package.json").write_text(json.dumps({"name": f"@cloudflare/{PACKAGE}", "version": version}))
    return binary


@pytest.mark.skipif(not HERE, reason="the files are Linux's")
def test_the_places_where_npm_and_pnpm_put_it(tmp_path: Path) -> None:
    project = tmp_path / "repo" / "apps" / "api"
    project.mkdir(parents=True)
    nowhere = {"PATH": str(tmp_path / "empty")}
    with pytest.raises(BinaryMissing, match="npm install --save-dev workerd esbuild") as missing:
        find_workerd(project, nowhere)
    assert str(project) in str(missing.value)

    # pnpm: only its store has the platform's package; the newest counts.
    store = tmp_path / "repo" / "node_modules" / ".pnpm"
    for version in ("1.20260426.1", "1.20260926.1"):
        package(store / f"@cloudflare+{PACKAGE}@{version}" / "node_modules" / "@cloudflare" / PACKAGE, version)
    assert find_workerd(project, nowhere).version == "1.20260926.1"

    # npm, nested below wrangler, and nearer.
    nested = tmp_path / "repo" / "apps" / "node_modules" / "wrangler" / "node_modules" / "@cloudflare" / PACKAGE
    package(nested, "1.20260101.0")
    assert find_workerd(project, nowhere).version == "1.20260101.0"

    # npm, hoisted, beside a script in .bin.
    modules = project / "node_modules"
    script = modules / ".bin" / "workerd"
    script.parent.mkdir(parents=True)
    script.write_text("#!/usr/bin/env node\n")
    package(modules / "@cloudflare" / PACKAGE, "1.20260301.0")
    assert find_workerd(project, nowhere).version == "1.20260301.0"

    # The variable beats them all; what it names has to be there and to fit this machine.
    other = package(tmp_path / "other" / PACKAGE, "1.20261001.0")
    assert find_workerd(project, {**nowhere, "WPY_WORKERD": str(other)}).path == other
    foreign = tmp_path / "foreign"
    foreign.write_bytes(ELF[:18] + b"\xf3\0" + ELF[20:])
    foreign.chmod(0o755)
    for path, why in {
        str(tmp_path / "gone"): "there is no such file",
        str(foreign): "it is built for another machine",
        str(script): "it is a script for Node.js",
    }.items():
        with pytest.raises(BinaryMissing, match=why):
            find_workerd(project, {**nowhere, "WPY_WORKERD": path})
    old = package(tmp_path / "old" / PACKAGE, "1.20240405.0")
    with pytest.raises(BinaryMissing, match="needs one of 2025-09-01 or later"):
        find_workerd(project, {**nowhere, "WPY_WORKERD": str(old)})


def test_a_libc_that_is_too_old_is_explained() -> None:
    said = "workerd: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.35' not found (required by workerd)"
    text = locate.explain_libc("workerd", Path("/x/workerd"), said)
    assert text is not None
    assert "needs GLIBC 2.35" in text
    assert "npm install --save-dev workerd@1.20250902.0" in text
    assert locate.explain_libc("workerd", Path("/x"), "something else") is None


def test_compatibility_dates() -> None:
    today = date(2026, 5, 20)
    new, old = Binary(Path("w"), "1.20260426.1"), Binary(Path("w"), "2025-09-02")
    assert accepted_date("2026-04-01", new, today) == ("2026-04-01", None)
    assert accepted_date("2026-05-03", new, today) == ("2026-05-03", None)
    assert accepted_date("2026-05-04", new, today)[0] == "2026-05-03"
    assert accepted_date("2026-04-01", old, today)[0] == "2025-09-02"
    assert accepted_date("2027-01-01", Binary(Path("w"), "1.20270101.0"), today)[0] == "2026-05-20"
    assert accepted_date(None, new, today) == ("2021-11-02", None)


def test_modules_of_nodejs_that_a_date_does_not_have() -> None:
    flags, warnings = node_modules.needed({"node:fs", "path", "os"}, "2024-09-23", ("nodejs_compat",))
    assert set(flags) == {"enable_nodejs_fs_module", "enable_nodejs_os_module"}
    assert "node:fs" in warnings[0]
    assert node_modules.needed({"node:fs"}, "2026-04-01", ("nodejs_compat",)) == ((), [])
    assert node_modules.needed({"node:fs"}, "2024-09-23", ()) == ((), [])
    assert node_modules.needed({"node:fs"}, "2024-09-23", ("nodejs_compat", "disable_nodejs_fs_module")) == ((), [])


# Texts ----------------------------------------------------------------------------------------------------------------


def test_config_text() -> None:
    config = {
        "services": [
            {"name": 'a "b"\\\n\x01ü', "worker": {"modules": [Embed("x.js")], "enableSql": True, "gone": None}}
        ],
        "storage": {"inMemory": VOID},
        "style": Name("proxy"),
        "n": 3,
    }
    text = config_text(config).split("config :Workerd.Config = ")[1]
    assert text == (
        '(services = [(name = "a \\"b\\"\\\\\\n\\x01ü", worker = (modules = [embed "x.js"], enableSql = true))], '
        "storage = (inMemory = void), style = proxy, n = 3);\n"
    )
    assert quoted("\x7f\r") == '"\\x7f\\x0d"'


def test_source_maps(tmp_path: Path) -> None:
    # line 1, column 4 is src/a.ts 3:2; line 2, column 0 is src/b.ts 1:0
    mapping = {"version": 3, "sources": ["../src/a.ts", "../src/b.ts"], "mappings": "IAEE;ACFF"}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "index.js.map").write_text(json.dumps(mapping))
    source_map = SourceMap(tmp_path / "out" / "index.js.map", tmp_path / "out", tmp_path)
    assert source_map.original(1, 5) == ("src/a.ts", 3, 3)
    assert source_map.original(1, 90) == ("src/a.ts", 3, 3)
    assert source_map.original(1, 1) is None
    assert source_map.original(2, 1) == ("src/b.ts", 1, 1)
    assert source_map.original(3, 1) is None

    stacks = StackMapper()
    stacks.maps["edge"] = ("index.js", source_map)
    stack = "Error: x\n    at f (edge/index.js:1:9)\n    at edge/wpy-entry.js:40:1\n    at g (edge/other.js:2:2)\n    at node:internal"
    assert stacks.mapped(stack) == "Error: x\n    at f (src/a.ts:3:3)\n    at g (other.js:2:2)\n    at node:internal"
    assert stacks.where(stack) == "src/a.ts:3"
    assert stacks.where("Error: x") is None
    gone = SourceMap(tmp_path / "gone.map", tmp_path, tmp_path)
    assert gone.original(1, 1) is None


def test_lines_of_workerd() -> None:
    lines: list[Line] = []
    own: list[str] = []
    dropped: list[int] = []
    now = [0.0]
    reader = OutputReader(lines.append, own.append, dropped.append, lambda: now[0])

    def log(message: str, level: str = "log") -> bytes:
        return json.dumps({"timestamp": 1, "level": level, "message": message}, separators=(",", ":")).encode() + b"\n"

    whole = log("\x01edge\x01GET /\x01hello") + log("\x01edge\x01\x01 { a: 1 }", "warn") + log("untagged")
    reader.feed("stdout", whole[:30])
    assert lines == []
    reader.feed("stdout", whole[30:])
    reader.feed("stdout", log("\x01edge\x01queue q\x01\x02Uncaught (in promise) Error", "error"))
    assert lines == [
        Line("edge", "GET /", "log", "hello"),
        Line("edge", "", "warn", "{ a: 1 }"),
        Line("", "", "log", "untagged"),
        Line("edge", "queue q", "error", "Uncaught (in promise) Error", uncaught=True),
    ]
    fault = b'{"timestamp":"1","level":"error","source":"x.c++:1","message":"service user:edge: no"}\n'
    reader.feed("stderr", fault + b"plain words\n  stack: 7f@12 a@b\n")
    assert own == ["service user:edge: no", "plain words"]

    # A flood is emptied from the pipe, counted and told, and workerd's own errors come through.
    lines.clear()
    now[0] = 1.0
    reader.feed("stdout", log("\x01edge\x01\x01x") * (MAX_LINES_PER_SECOND + 500) + fault)
    reader.feed("stdout", log("\x01edge\x01\x01x") * 100)
    assert (len(lines), len(own)) == (MAX_LINES_PER_SECOND, 3)
    now[0] = 2.0
    reader.feed("stdout", log("\x01edge\x01\x01y"))
    assert dropped == [601]
    assert lines[-1].text == "y"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no /bin/sh")
def test_where_the_kernel_does_not_do_it_a_shell_ends_workerd_with_wpy() -> None:
    # In the place of workerd a sleep; in the place of wpy a process that is killed.
    code = (
        "import subprocess, sys, time; from wrangler_py.runtime.workerd.process import _guard;"
        "child = subprocess.Popen(['sleep', '60']); guard = _guard(child.pid);"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    os.kill(pid, 0)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() if HERE else _lives(pid):
        assert time.monotonic() < deadline, "it lives on"
        time.sleep(0.02)
    # When workerd has ended, its guard is ended too, and must not end whoever has the number then.
    child = subprocess.Popen(["sleep", "60"])
    guard = _guard(child.pid)
    guard.kill()
    guard.wait()
    assert child.poll() is None
    child.kill()
    child.wait()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
