"""Queues: the rules. Neither a runtime nor HTTP is known here; a coroutine `deliver(batch) -> outcome` is handed in.

intake -> broker                 the way in: sends are checked and stored together, and true once committed
consumer                         the next-batch decision: full, timed out, how many at once, and backing off
settlement                       the retry rule and the dead letter rule, for pushed and pulled messages
broker -> tables                 leases and settles; deletes what its retention has outlived; the SQL of all that
pull -> pull_leases              messages leased over HTTP, and when their leases end
history, search, browse, peek    what became of messages, and where they are
redrive, bulk, hasten, purge     what a person does to messages
admin, consumers, subscriptions  the resources of Cloudflare's API
outbox_marks                     how far the sends that a file keeps (runtime/outbox.py) are stored
limits                           Cloudflare's numbers, defaults and error texts, each with its source
"""
