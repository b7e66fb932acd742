"""A shop: orders reduce the stock, mails are sent, at night there is a report."""

import asyncio
import time
from datetime import datetime

import ledger
from pyodide.ffi import run_sync
from workers import DurableObject, Response, WorkerEntrypoint, fetch

seen = []


class Counter(DurableObject):
    async def add(self, amount):
        total = (await self.ctx.storage.get("total") or 0) + amount
        await self.ctx.storage.put("total", total)
        return total

    async def remind(self, after_ms):
        await self.ctx.storage.setAlarm(int(time.time() * 1000) + after_ms)

    async def alarm(self):
        ledger.note("alarm")


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        path = "/" + request.url.split("/", 3)[3]
        if path == "/order":
            order = await request.json()
            await self.env.ORDERS.send(order)
            return Response.json({"ordered": order["item"]}, status=202)
        if path == "/signup":
            person = await request.json()
            await self.env.MAIL.send({"to": person["email"]}, delaySeconds=person.get("delay", 0))
            self.ctx.waitUntil(self.greet(person["email"]))
            return Response("welcome", status=201, headers={"x-from": self.env.SENDER})
        if path == "/sync":
            run_sync(asyncio.sleep(60))
            time.sleep(30)
            return Response("slept")
        if path == "/hang":
            await asyncio.Future()
        if path == "/sql":
            for _ in range(3):
                await self.env.DB.prepare("SELECT 1").run()
            return Response("ok")
        raise LookupError(f"no page {path}")

    async def greet(self, email):
        await asyncio.sleep(5)
        ledger.note(f"greeted {email}")

    async def queue(self, batch, env, ctx):
        if batch.queue == "orders":
            for message in batch.messages:
                await self.order(message)
            return
        for message in batch.messages:
            print("mail to", message.body["to"])
            seen.append(message.id)
            answer = await fetch("https://smtp.example.com/send", method="POST", body=message.body["to"])
            if answer.status == 200:
                message.ack()
                if message.body.get("twice"):
                    message.retry()
            elif answer.status == 400:
                raise ValueError(f"no such address: {message.body['to']}")
            else:
                message.retry(delaySeconds=20 * message.attempts)

    async def order(self, message):
        item = message.body["item"]
        row = await self.env.DB.prepare("SELECT count FROM stock WHERE item = ?").bind(item).first()
        if message.body.get("safely"):
            await self.env.DB.prepare("UPDATE stock SET count = count - 1 WHERE item = ?").bind(item).run()
        else:  # two orders that read before either writes sell one book twice
            left = row["count"] - 1
            await self.env.DB.prepare("UPDATE stock SET count = ? WHERE item = ?").bind(left, item).run()

    async def scheduled(self, controller, env, ctx):
        ledger.note(f"{controller.cron} for {datetime.fromtimestamp(controller.scheduledTime / 1000):%d %H:%M}")
        if controller.cron == "0 1 * * *":
            controller.noRetry()

    async def add(self, left, right):
        return left + right
