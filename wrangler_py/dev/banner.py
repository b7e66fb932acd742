"""What a session prints before it is ready: the banner, the bindings, the consumers, the crons."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from wrangler_py import __version__
from wrangler_py.config.model import SessionConfig, WorkerConfig
from wrangler_py.dev.terminal import Terminal
from wrangler_py.session.times import span

#: Values longer than this are cut in the table, as in wrangler.
_VALUE_WIDTH = 40


def print_banner(terminal: Terminal) -> None:
    """The title line, in wrangler's form."""
    title = f" ⛅️ wpy {__version__}"
    terminal.line()
    terminal.line(title)
    terminal.line(terminal.style("─" * (len(title) + 1), "orange"))


def print_bindings(terminal: Terminal, session: SessionConfig) -> None:
    """What each worker finds in `env`, and which queues it consumes."""
    for worker in session.workers:
        several = len(session.workers) > 1
        rows = _binding_rows(worker)
        if rows:
            of = f'Worker "{worker.name}"' if several else "Your Worker"
            terminal.line(f"{of} has access to the following bindings:")
            _table(terminal, ("Binding", "Resource", "Mode"), rows)
            terminal.line()
        if worker.consumers:
            consumers = [
                (
                    c.queue,
                    str(c.max_batch_size),
                    f"{c.max_batch_timeout:g} s",
                    str(c.max_retries),
                    f"{c.retry_delay} s",
                    c.dead_letter_queue or "-",
                )
                for c in worker.consumers
            ]
            of = f'Worker "{worker.name}"' if several else "Your Worker"
            terminal.line(f"{of} consumes:")
            _table(
                terminal, ("Queue", "Batch size", "Timeout", "Retries", "Retry delay", "Dead letter queue"), consumers
            )
            terminal.line()


def print_crons(terminal: Terminal, upcoming: Sequence[tuple[str, str, int | None]], now_ms: int, *, on: bool) -> None:
    """The crons with their next run. `upcoming`: (worker, expression, next run in ms or None for never)."""
    if not upcoming:
        return
    terminal.line("Crons (UTC):" if on else "Crons (not fired: --no-cron):")
    rows = [
        (expression, worker, "never" if at is None else f"{_utc(at)}  (in {span(max(0, at - now_ms))})")
        for worker, expression, at in upcoming
    ]
    _table(terminal, ("Expression", "Worker", "Next run"), rows)
    terminal.line()


def _binding_rows(worker: WorkerConfig) -> list[tuple[str, str, str]]:
    rows = [(f"env.{p.binding} ({p.queue})", "Queue", "local") for p in worker.producers]
    for name, value in worker.vars.items():
        if name not in worker.secrets:
            text = json.dumps(value, ensure_ascii=False)
            rows.append((f"env.{name} ({_cut(text)})", "Environment Variable", "local"))
    rows += [(f'env.{name} ("(hidden)")', "Environment Variable", "local") for name in worker.secrets]
    unserved = {u.name for u in worker.unsupported}
    rows += [(f"env.{name}{value}", kind, "local") for name, value, kind in _resources(worker) if name not in unserved]
    rows += [(f"env.{u.name}", u.kind, "not supported") for u in worker.unsupported if u.in_env]
    return rows


def _resources(worker: WorkerConfig) -> Iterator[tuple[str, str, str]]:
    """(name in `env`, what it is bound to, kind) of bindings other than queues and variables, in wrangler's order."""
    for do in worker.durable_objects:
        defined = f", defined in {do.script_name}" if do.script_name else ""
        yield do.name, f" ({do.class_name}{defined})", "Durable Object"
    for workflow in worker.workflows:
        defined = f", defined in {workflow.script_name}" if workflow.script_name else ""
        yield workflow.binding, f" ({workflow.class_name}{defined})", "Workflow"
    for kv in worker.kv_namespaces:
        yield kv.binding, f" ({kv.id})", "KV Namespace"
    for d1 in worker.d1_databases:
        yield d1.binding, f" ({d1.database_name})", "D1 Database"
    for r2 in worker.r2_buckets:
        region = f" ({r2.jurisdiction})" if r2.jurisdiction else ""
        yield r2.binding, f" ({r2.bucket_name}{region})", "R2 Bucket"
    for hyperdrive in worker.hyperdrive:
        yield hyperdrive.binding, f" ({hyperdrive.id})", "Hyperdrive Config"
    for secret in worker.secrets_store_secrets:
        yield secret.binding, f" ({secret.store_id}/{secret.secret_name})", "Secrets Store Secret"
    for service in worker.services:
        entrypoint = f"#{service.entrypoint}" if service.entrypoint else ""
        yield service.binding, f" ({service.service}{entrypoint})", "Worker"
    for dataset in worker.analytics_engine_datasets:
        yield dataset.binding, f" ({dataset.dataset})", "Analytics Engine Dataset"
    for rate in worker.ratelimits:
        yield rate.name, f" ({rate.limit} requests/{rate.period}s)", "Rate Limit"
    for certificate in worker.mtls_certificates:
        yield certificate.binding, f" ({certificate.certificate_id})", "mTLS Certificate"
    for email in worker.send_email:
        yield email.name, f" ({email.destination_address or 'unrestricted'})", "Send Email"
    if worker.version_metadata:
        yield worker.version_metadata, "", "Worker Version Metadata"
    if worker.assets is not None and worker.assets.binding:
        yield worker.assets.binding, "", "Assets"


def _cut(text: str) -> str:
    return text if len(text) <= _VALUE_WIDTH else text[: _VALUE_WIDTH - 3] + "..."


def _table(terminal: Terminal, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """With wrangler's gaps; with smaller ones, or a line for each cell, on a terminal that is too narrow."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    room = terminal.width
    between = len(header) - 1
    gap = 6 if room is None or sum(widths) + 6 * between <= room else 2
    if room is not None and sum(widths) + gap * between > room:
        for row in rows:
            terminal.line(row[0])
            for name, cell in zip(header[1:], row[1:], strict=True):
                terminal.line(terminal.style(f"  {name}: ", "dim") + cell)
        return

    def text(row: tuple[str, ...]) -> str:
        return (" " * gap).join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()

    terminal.line(terminal.style(text(header), "dim"))
    for row in rows:
        terminal.line(text(row))


def _utc(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
