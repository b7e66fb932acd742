"""Texts that both runtimes say, each with its source."""

from __future__ import annotations

#: wrangler 4.86, deployment-bundle/bundle.ts. `kind`: "Durable Objects" or "Workflows".
NOT_EXPORTED = "Your Worker depends on the following {kind}, which are not exported in your entrypoint file: {names}."
