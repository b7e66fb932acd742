"""A project in which every kind of state is bound, for tests of who looks at it: its config, and its classes."""

from __future__ import annotations


def bindings(namespace: str = "cache") -> str:
    """KV, D1, R2, a Durable Object and a workflow, for wrangler.toml. `namespace`: the id of the KV namespace."""
    return f"""
[[kv_namespaces]]
binding = "CACHE"
id = "{namespace}"

[[d1_databases]]
binding = "DB"
database_name = "shop"
database_id = "shop-id"

[[r2_buckets]]
binding = "FILES"
bucket_name = "files"

[[durable_objects.bindings]]
name = "ROOM"
class_name = "Room"

[[migrations]]
tag = "v1"
new_sqlite_classes = ["Room"]

[[workflows]]
name = "order-flow"
binding = "ORDERS"
class_name = "OrderFlow"
"""


#: For the entry module, before its Default.
CLASSES = """
from workers import DurableObject, Response, WorkerEntrypoint, WorkflowEntrypoint


class Room(DurableObject):
    async def enter(self, who):
        await self.ctx.storage.put("last", {"who": who, "n": 3})
        self.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS visits (who TEXT, big INTEGER)")
        self.ctx.storage.sql.exec("INSERT INTO visits VALUES (?, 9007199254740993)", who)
        await self.ctx.storage.setAlarm(1_800_000_000_000)

    async def alarm(self, info=None):
        pass


class OrderFlow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("reserve")
        async def reserve():
            return {"stock": 1}

        await reserve()
        await step.sleep("payment", "1 hour")
"""
