"""Durable Objects, as the session sees them: their alarms, and Cloudflare's limits. The objects themselves live in the
Worker's process (runtime/worker/durable/).
"""
