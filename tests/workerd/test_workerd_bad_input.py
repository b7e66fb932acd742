"""What is said of JavaScript Workers that cannot run, and of binaries that cannot run them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from js_project import JsProject

OK = "export default { fetch() { return new Response('ok'); } };"


def test_a_missing_binary_names_the_line_that_installs_it(tmp_path: Path) -> None:
    js = JsProject(tmp_path / "project", modules=False)
    js.worker(OK)
    bare = {"PATH": "/nowhere", "WPY_WORKERD": None, "WPY_ESBUILD": None}
    server = js.server(env=bare).start()
    server.wait_for("need `(workerd|esbuild)`, and there is none in any node_modules from .*/project/edge upwards")
    server.wait_for("npm install --save-dev workerd esbuild")
    reply = server.get("/")
    assert (reply.status, "npm install" in reply.text) == (500, True)
    js.stop()

    wrong = js.write("workerd", "\x7fELF\x02\x01\x01" + "\0" * 11 + "\xb7" + "\0" * 12)
    wrong.chmod(0o755)
    env = {"PATH": "/nowhere", "WPY_WORKERD": str(wrong), "WPY_ESBUILD": str(js.folder / "missing")}
    server = js.server(env=env).start()
    server.wait_for(r"WPY_WORKERD names .*workerd, and|WPY_ESBUILD names .*missing, and there is no such file")
    js.stop()


CASES = {
    "a build error": ("export default {\n  fetch() { retur new Response(1) }\n};", {}, [r"index\.ts:2:18", "~~~"]),
    "an import that is not there": ('import "./gone";\n' + OK, {}, [r'Could not resolve "\./gone"', r"index\.ts:1:7"]),
    "no exports": ("console.log(1);", {}, [r"index\.ts exports nothing, so it is no Worker", "export default"]),
    "an unknown flag": (
        OK,
        {"compatibility_flags": ["no_such"]},
        ["No such compatibility flag: no_such", "spelled right"],
    ),
    "Node.js without its flag": (
        'import fs from "node:fs";\nfs;\n' + OK,
        {},
        ["No such module .node:fs", "nodejs_compat"],
    ),
    "a throw at the start": (
        "type A = 1;\nthrow new RangeError('no');\n" + OK,
        {},
        ["RangeError: no", r"index\.ts:2:"],
    ),
    "an export that is no handler": ("export const a = 1;\n" + OK, {}, ["map entry 'a'", "may export handlers"]),
    "an endless loop at the start": ("for (;;) {}\n" + OK, {}, ["its top level ran for more than 2 s"]),
    "a class that is not there": (
        OK,
        {"durable_objects": {"bindings": [{"name": "D", "class_name": "Gone"}]}},
        [r"not exported in your entrypoint file: Gone\.", r"from your entrypoint, index\.ts"],
    ),
    "a rule that ends wrangler's own": (
        'import note from "./note.txt";\nnote;\n' + OK,
        {"rules": [{"type": "Text", "globs": ["**/*.md"]}]},
        [r"The file note\.txt matched a module rule in your configuration .*was not marked as `fallthrough = true`"],
    ),
    "TypeScript unbundled": (
        OK,
        {"no_bundle": True},
        ["index.ts is TypeScript, and `no_bundle` runs files as they are"],
    ),
}


@pytest.mark.timeout(100)
def test_code_that_cannot_run_is_told_and_a_save_mends_it(js: JsProject) -> None:
    js.worker(OK)
    js.write("edge/note.txt", "a note")
    server = js.start()
    for mended, (name, (code, more, patterns)) in enumerate(CASES.items()):
        seen = len(server.output.splitlines())
        js.worker(code, more)
        for pattern in patterns:
            server.wait_for(pattern, after=seen, within=40)
        server.wait_for("The version before it goes on serving", after=seen)
        assert server.get("/").text == "ok", name
        js.worker(OK + f"\n// {mended}")
        server.wait_for('Reloaded worker "edge"', after=seen)

    # A date that the binary does not have yet is lowered, and said.
    seen = len(server.output.splitlines())
    js.worker(OK, {"compatibility_date": "2999-01-01"})
    server.wait_for(r"compatibility_date 2999-01-01 is newer than workerd \S+ accepts; it runs with 20", after=seen)
    assert server.get("/").text == "ok"


def test_one_broken_worker_does_not_keep_the_others_from_running(js: JsProject) -> None:
    first = js.worker(OK)
    second = js.worker("throw new Error('broken');\nexport default {};", name="second")
    server = js.start(configs=(first, second))
    server.wait_for('Worker "second" could not be loaded')
    assert server.get("/").text == "ok"
    js.worker(OK, name="second")
    server.wait_for('Reloaded worker "second"')


def test_a_script_in_the_place_of_the_binary_is_stepped_over(js: JsProject) -> None:
    # npm leaves a script of Node.js in .bin when it runs no install scripts.
    real = (js.folder / "node_modules").resolve()
    (js.folder / "node_modules").unlink()
    binaries = js.folder / "node_modules" / ".bin"
    binaries.mkdir(parents=True)
    for name in ("workerd", "esbuild"):
        script = binaries / name
        script.write_text("#!/usr/bin/env node\nthrow new Error('not me');\n")
        script.chmod(0o755)
    for scope in ("@cloudflare", "@esbuild"):
        (js.folder / "node_modules" / scope).symlink_to(real / scope)
    js.worker(OK)
    server = js.start(env={"PATH": f"{binaries}:{os.environ['PATH']}"})
    assert server.get("/").text == "ok"
    assert re.search("not me", server.output) is None
