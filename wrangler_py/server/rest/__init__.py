"""Cloudflare's REST API v4, as far as queues go, on the dev server under `/client/v4`.

`door.py` is what the front door holds; everything else is imported with the first request, so that a session's start does
not pay for it. `routes.py` is the table of what is served, and `openapi.py` describes that same table.
"""
