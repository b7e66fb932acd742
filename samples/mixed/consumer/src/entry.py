"""Packs what the shop's Worker, which is written in TypeScript, has queued."""

from collections import Counter
from datetime import datetime

from workers import WorkerEntrypoint

STOCK = {"apple": 100, "pear": 40}


class Default(WorkerEntrypoint):
    async def queue(self, batch, env, ctx):
        packed = Counter()
        for message in batch.messages:
            order = message.body
            if order["item"] not in STOCK:
                print(f"order {order['id']}: there is no {order['item']}, asking again in a minute")
                message.retry(delaySeconds=60)
                continue
            waited = datetime.now().astimezone() - datetime.fromisoformat(order["placed"])
            print(
                f"order {order['id']}: {order['quantity']} x {order['item']}, placed {waited.total_seconds():.0f} s ago"
            )
            packed[order["item"]] += order["quantity"]
            message.ack()
        print(f"packed {dict(packed)}")
