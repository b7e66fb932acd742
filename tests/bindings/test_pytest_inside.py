"""pytest, with pytest-asyncio, run inside of a fetch handler on the small bindings, as suites written for Cloudflare do."""

from __future__ import annotations

import shutil
from pathlib import Path

from session_project import Project

CONFIG = """
version_metadata = { binding = "VERSION" }
ratelimits = [{ name = "RATE_LIMITER", namespace_id = "1", simple = { limit = 100, period = 60 } }]
analytics_engine_datasets = [{ binding = "ANALYTICS", dataset = "clicks" }]
mtls_certificates = [{ binding = "CERT", certificate_id = "c" }]
vectorize = [{ binding = "VECTORIZE", index_name = "i" }]
services = [{ binding = "SELF", service = "app", entrypoint = "Named" }]

[assets]
directory = "assets"
binding = "ASSETS"
"""

WORKER = """
    import asyncio
    import io
    import sys
    from contextlib import redirect_stdout
    from urllib.parse import urlparse

    import pytest
    from pyodide.webloop import WebLoop
    from workers import Response, WorkerEntrypoint

    async def noop(*args):
        pass

    WebLoop.shutdown_asyncgens = noop

    class Named(WorkerEntrypoint):
        async def add(self, a, b=1):
            return a + b

        async def raise_it(self):
            raise ValueError("from the other side")

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            path = urlparse(request.url).path
            if not path.startswith("/run-tests"):
                return Response("not a test", status=404)
            out = io.StringIO()
            loop = asyncio.events._get_running_loop()
            with redirect_stdout(out):
                code = pytest.main(["-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "-c", "/dev/null",
                                    "--rootdir=src", "src/test_small.py"])
            asyncio.events._set_running_loop(loop)
            return Response(out.getvalue(), status=200 if code == 0 else 500)
"""

TESTS = """
    import asyncio

    import pytest
    from js import Object
    from pyodide.ffi import JsException, run_sync, to_js
    from workers import Response, env, patch_env
    from workers.rpc import _BindingWrapper, _FetcherWrapper

    async def test_assets():
        assert isinstance(env.ASSETS, _FetcherWrapper)
        answer = await env.ASSETS.fetch("http://any/hello.txt")
        assert isinstance(answer, Response)
        assert (answer.status, await answer.text()) == (200, "from a file")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert (await env.ASSETS.fetch("http://any/none")).status == 404

    async def test_rate_limit():
        assert isinstance(env.RATE_LIMITER, _BindingWrapper)
        result = await env.RATE_LIMITER.limit({"key": "a"})
        assert result.success is True and result["success"] is True

    def test_rate_limit_in_plain_functions():
        assert run_sync(env.RATE_LIMITER.limit(key="b")).success

    def test_version_metadata():
        assert env.VERSION.id and isinstance(env.VERSION.tag, str) and env.VERSION.timestamp

    @pytest.mark.parametrize("point", [{"blobs": ["a"], "doubles": [1.0], "indexes": ["i"]}, {}])
    async def test_analytics(point):
        assert isinstance(env.ANALYTICS, _BindingWrapper)
        assert env.ANALYTICS.writeDataPoint(point) is None

    def test_what_is_not_served_can_still_be_looked_at():
        assert isinstance(env.CERT, _FetcherWrapper)
        assert isinstance(env.VECTORIZE, _BindingWrapper)
        with pytest.raises(JsException, match="Vectorize"):
            env.VECTORIZE.query([1, 2, 3])

    async def test_service_methods():
        assert await env.SELF.add(1, 2) == 3
        with pytest.raises(JsException, match="from the other side"):
            await env.SELF.raise_it()
        assert await asyncio.gather(*[env.SELF.add(n) for n in range(5)]) == [1, 2, 3, 4, 5]

    def test_patch_env():
        assert not hasattr(env, "NEW")
        with patch_env(VECTORIZE=5, NEW="x"):
            from workers import env as now  # the SDK's wrapper keeps what it has looked up

            assert (now.VECTORIZE, now.NEW, env.NEW) == (5, "x", "x")
        from workers import env as after

        assert not hasattr(after, "NEW")
"""


def test_pytest_inside_of_a_handler(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.config(CONFIG)
    project.code(WORKER)
    project.write("src/test_small.py", TESTS)
    project.write("assets/hello.txt", "from a file")
    with project.server() as server:
        answer = server.get("/run-tests/small")
        assert answer.status == 200, answer.text
        assert "9 passed" in answer.text
    shutil.rmtree(tmp_path / "assets")
