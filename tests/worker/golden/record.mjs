// Evaluates the probes in real Pyodide and writes what they gave. See README.md.
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [probes, output] = process.argv.slice(2);
const require = createRequire(path.join(process.cwd(), "x.js"));
const { loadPyodide } = await import(pathToFileURL(require.resolve("pyodide/pyodide.mjs")));
const pyodide = await loadPyodide();
globalThis.emit = (text) => fs.writeFileSync(output, text + "\n");
pyodide.globals.set("PROBES", fs.readFileSync(probes, "utf8"));
pyodide.runPython(`
import js, json, pyodide
from datetime import datetime
from pyodide.ffi import *

def scope():
    names = dict(globals())
    names["o"] = js.JSON.parse('{"a":1,"b":{"c":2}}')
    names["n"] = js.JSON.parse('{"x":null,"y":[null]}')
    names["arr"] = js.Array.of(1, 2, 3)
    names["m"] = js.Map.new(to_js([["a", 1]]))
    names["st"] = js.Set.new(to_js([1, 2]))
    names["u"] = js.Uint8Array.new([1, 2, 3])
    names["e"] = js.TypeError.new("bad")
    return names

def describe(code):
    try:
        result = eval(code, scope())
    except BaseException as error:
        name = "JsException:" + error.name if isinstance(error, JsException) else type(error).__name__
        return {"raises": name, "text": str(error)}
    return {"type": type(result).__name__, "repr": repr(result)}

probes = [line for line in PROBES.splitlines() if line and not line.startswith("#")]
js.emit(json.dumps({"pyodide": pyodide.__version__, "probes": {code: describe(code) for code in probes}}, indent=1))
`);
process.exit(0);
