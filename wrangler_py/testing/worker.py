"""`wpy.worker`: a worker's handlers, called as the platform calls them."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from wrangler_py.config.model import Consumer, WorkerConfig
from wrangler_py.queues.message import Batch, Message, QueueMetrics
from wrangler_py.runtime.base import FetchRequest, WorkerError
from wrangler_py.testing.batches import TestBatch
from wrangler_py.testing.crons import unknown_cron
from wrangler_py.testing.errors import KitError
from wrangler_py.testing.results import QueueResult, ScheduledResult, TestResponse, queue_result
from wrangler_py.testing.values import Moment, moment_ms

if TYPE_CHECKING:
    from wrangler_py.testing.kit import Wpy

__tracebackhide__ = True

#: Where requests of tests seem to go, unless they give a whole URL.
BASE_URL = "http://localhost"


class WorkerHandle:
    """One worker of the project."""

    def __init__(self, wpy: Wpy, name: str) -> None:
        self._wpy = wpy
        self.name = name

    @property
    def config(self) -> WorkerConfig:
        """Its config, as read from the file and changed by the test's marker."""
        return next(worker for worker in self._wpy.config.workers if worker.name == self.name)

    async def fetch(
        self,
        url: str,
        method: str | None = None,
        *,
        json: Any = None,
        body: bytes | str | None = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        cf: Mapping[str, Any] | None = None,
        wait: bool = True,
    ) -> TestResponse:
        """Call `fetch()`. `url`: whole, or a path.

        Returns when the answer is read and the waitUntil work is done; with `wait=False` as soon as the answer is read.
        Raises what the handler raises.
        """
        given: dict[str, str] = dict(headers or {})
        content: bytes | None = body.encode() if isinstance(body, str) else body
        if json is not None:
            content = jsonlib.dumps(json).encode()
            given.setdefault("content-type", "application/json")
        elif form is not None:
            content = urlencode(form).encode()
            given.setdefault("content-type", "application/x-www-form-urlencoded")
        address = url if "://" in url else BASE_URL + (url if url.startswith("/") else "/" + url)
        if content is not None:
            given.setdefault("content-length", str(len(content)))
        request = FetchRequest(
            method or ("GET" if content is None else "POST"), address, list(given.items()), content, dict(cf or {})
        )
        runtime = await self._wpy.runtime(self.name)
        call = self._wpy.calls.open()

        async def run() -> tuple[int, list[tuple[str, str]], bytes]:
            response = await runtime.fetch(request)
            parts = [response.body]
            if response.stream is not None:
                parts += [chunk async for chunk in response.stream]
            return response.status, response.headers, b"".join(parts)

        try:
            status, answered, read = await self._wpy.driver.drive(run())
        except WorkerError as error:
            result = call.close()
            if result.exception is not None:
                raise self._wpy.users(result.exception) from None
            raise KitError(f"{self.name}: {error.text}") from None
        if wait:
            await self._wpy.driver.drive(self._wpy.calls.over(call))
        return TestResponse(status, answered, read, call.close())

    async def queue(self, batch: TestBatch | Sequence[Any], queue: str | None = None) -> QueueResult:
        """Call `queue()` with a batch, and say what production would do with each of its messages. Nothing is stored.

        `batch`: from `wpy.batch(...)`, or a list of bodies. An exception of the handler is in the result.
        """
        made = batch if isinstance(batch, TestBatch) else self._wpy.batch(queue or self._only_queue(), list(batch))
        now_ms = self._wpy.session_clock.now_ms()
        messages = tuple(
            Message(number, m.id, m.timestamp_ms if m.timestamp_ms is not None else now_ms, m.attempts, *m.encoded())
            for number, m in enumerate(made.messages, start=1)
        )
        backlog = QueueMetrics(made.backlog_count, 0, None)
        runtime = await self._wpy.runtime(self.name)
        call = self._wpy.calls.open()
        outcome = await self._wpy.driver.drive(runtime.queue(Batch(made.queue, messages, backlog)))
        result = queue_result(made.queue, messages, outcome, self._consumer(made.queue))
        self._wpy.calls.close_into(call, result)
        self._wpy.driver.raise_troubles()
        return result

    async def scheduled(
        self, cron: str | None = None, scheduled_time: Moment | None = None, *, any_cron: bool = False
    ) -> ScheduledResult:
        """Call `scheduled()`. `cron`: the worker's only one when left out; with `any_cron` it need not be in the config.
        Raises KitError for one that is not."""
        crons = self.config.crons
        if cron is None:
            if len(crons) != 1:
                have = ", ".join(crons) or "none"
                raise KitError(f'Which cron? {self.name} has {have}. Write worker.scheduled("* * * * *").')
            cron = crons[0]
        elif cron not in crons and not any_cron:
            raise KitError(
                f"{self.name} {unknown_cron(cron, crons)} To call the handler with it all the same: "
                f'worker.scheduled("{cron}", any_cron=True).'
            )
        at_ms = self._wpy.session_clock.now_ms() if scheduled_time is None else moment_ms(scheduled_time)
        runtime = await self._wpy.runtime(self.name)
        call = self._wpy.calls.open()
        outcome = await self._wpy.driver.drive(runtime.scheduled(cron, at_ms))
        result = ScheduledResult(outcome.outcome, outcome.error, cron=cron, no_retry=outcome.no_retry)
        result.handler = outcome.handler
        self._wpy.calls.close_into(call, result)
        self._wpy.driver.raise_troubles()
        return result

    async def call(self, method: str, *args: Any, entrypoint: str | None = None) -> Any:
        """Call a method of the worker as another worker does through a service binding. `entrypoint`: the class, if it
        is not Default. Raises what the method raises."""
        from workers.rpc import _FetcherWrapper

        from wrangler_py.runtime.worker.rpc import Fetcher

        runtime = await self._wpy.runtime(self.name)
        process = runtime.process
        assert process is not None
        fetcher = Fetcher.new(process.dispatcher.exports(), self.name, ("entrypoint", entrypoint, None))
        call = self._wpy.calls.open()

        async def run() -> Any:
            return await getattr(_FetcherWrapper(fetcher), method)(*args)

        try:
            return await self._wpy.driver.drive(run())
        except Exception as error:
            own = call.close().exception
            raise self._wpy.users(own or error) from None
        finally:
            call.close()

    async def alarm(self, binding: str, name: str) -> str:
        """Call the `alarm()` of a Durable Object that has one, now; the outcome ("ok", "failed", ...)."""
        return await self._wpy.objects[binding].by_name(name).run_alarm()

    def _only_queue(self) -> str:
        queues = [consumer.queue for consumer in self.config.consumers]
        if len(queues) != 1:
            raise KitError(
                f"Which queue? {self.name} consumes {', '.join(queues) or 'none'}. Write worker.queue(bodies, queue=NAME)."
            )
        return queues[0]

    def _consumer(self, queue: str) -> Consumer:
        for consumer in self.config.consumers:
            if consumer.queue == queue:
                return consumer
        return Consumer(queue)
