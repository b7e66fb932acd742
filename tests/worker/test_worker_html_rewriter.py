"""HTMLRewriter, held to what workerd does with the same pages and handlers (golden/html_rewriter.json)."""

from __future__ import annotations

import json
from pathlib import Path

RECORDED = json.loads((Path(__file__).parent / "golden/html_rewriter.json").read_text())

WORKER = """
    import js
    from js import HTMLRewriter
    from pyodide.ffi import create_proxy, to_js
    from workers import Response, WorkerEntrypoint

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            return Response.json([await self.run(case) for case in await request.json()])

        async def run(self, case):
            log = []
            try:
                return {"out": await self.rewrite(case, log), "log": log}
            except js.Error as error:
                return {"error": f"{error.name}: {error.message}", "log": log}

        async def rewrite(self, case, log):
            def apply(x, ops):
                for name, *a in ops:
                    if name == "tagName":
                        x.tagName = a[0]
                    elif name == "endTag":
                        def at_end(tag, what=a):
                            getattr(tag, what[0])(what[1])
                            log.append("end:" + tag.name)
                        x.onEndTag(create_proxy(at_end))
                    elif name == "settext":
                        x.text = a[0]
                    elif name == "log":
                        log.append(",".join("=".join(pair) for pair in x.attributes))
                        log.append(x.getAttribute("A"))
                        log.append(x.getAttribute("none") or None)
                        log.append(x.hasAttribute("b"))
                    elif name == "onlyafter":
                        log.append("el:" + x.tagName)
                    elif name in ("setAttribute", "removeAttribute", "remove", "removeAndKeepContent"):
                        getattr(x, name)(*a)
                    elif len(a) > 1:
                        getattr(x, name)(a[0], to_js({"html": a[1]}, dict_converter=js.Object.fromEntries))
                    else:
                        getattr(x, name)(a[0])

            class Handlers:
                pass

            def handlers(rule, prefix=""):
                made = Handlers()
                if rule.get("element"):
                    made.element = lambda e: apply(e, rule["element"])
                if rule.get("text"):
                    async def text(t):
                        log.append(f"{prefix}text:{t.text}:{str(t.lastInTextNode).lower()}")
                    made.text = text
                if rule.get("textops"):
                    made.text = lambda t: apply(t, rule["textops"]) if t.text else None
                if rule.get("comments"):
                    made.comments = lambda c: log.append(f"{prefix}comment:{c.text}")
                if rule.get("commentops"):
                    made.comments = lambda c: apply(c, rule["commentops"])
                if rule.get("doctype"):
                    made.doctype = lambda d: log.append(f"doctype:{d.name},{d.publicId},{d.systemId}")
                if rule.get("end"):
                    made.end = lambda e: e.append(rule["end"], html=True)
                return create_proxy(made)

            rewriter = HTMLRewriter.new()
            for rule in case["rules"]:
                rewriter.on(rule["selector"], handlers(rule))
            if case.get("document"):
                rewriter.onDocument(handlers(case["document"], "d"))
            if case.get("pieces"):
                async def start(controller):
                    data = case["html"].encode()
                    for at in range(len(data)):
                        controller.enqueue(to_js(data[at:at + 1]))
                    controller.close()
                body = js.ReadableStream.new(start=start)
            else:
                body = case["html"]
            return await rewriter.transform(js.Response.new(body)).text()
"""


def test_as_in_workerd(worker):
    w = worker(WORKER)
    cases = [one["case"] for one in RECORDED]
    seen = w.fetch(method="POST", body=json.dumps(cases).encode()).json
    assert len(seen) == 21
    for one, result in zip(RECORDED, seen, strict=True):
        assert _joined(result) == _joined(one["result"]), one["case"]


def test_a_page_in_single_bytes_is_the_same(worker):
    w = worker(WORKER)
    cases = [{**one["case"], "pieces": True} for one in RECORDED if "textops" not in json.dumps(one["case"])]
    seen = w.fetch(method="POST", body=json.dumps(cases).encode()).json
    whole = {json.dumps(one["case"]["rules"]): one["result"] for one in RECORDED}
    for case, result in zip(cases, seen, strict=True):
        assert result.get("out") == whole[json.dumps(case["rules"])].get("out"), case


def _joined(result):
    """How text is cut into pieces is nobody's promise: pieces of one text node are joined."""
    joined: list = []
    for line in result["log"]:
        parts = str(line).split(":")
        kind = parts[0]
        if kind in ("text", "dtext"):
            text, last = ":".join(parts[1:-1]), parts[-1]
            before = next((item for item in reversed(joined) if isinstance(item, list) and item[0] == kind), None)
            if before is not None and before[2] == "false":
                before[1] += text
                before[2] = last
                continue
            joined.append([kind, text, last])
        else:
            joined.append(line)
    error = result.get("error")
    return {"out": result.get("out"), "error": error and error.partition(":")[0], "log": joined}
