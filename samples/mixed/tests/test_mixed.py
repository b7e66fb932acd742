"""A TypeScript producer and a Python consumer of one queue, in one session."""

BOTH = ("-c", "producer/wrangler.jsonc", "-c", "consumer/wrangler.toml")


def test_orders_of_the_typescript_worker_are_packed_by_the_python_worker(wpy_dev, javascript):
    server = wpy_dev(*BOTH)
    reply = server.post("/orders", json={"item": "apple", "quantity": 3})
    assert reply.status == 202
    server.wait_for(rf"\[warehouse\] queue orders \| order {reply.json()['id']}: 3 x apple, placed \d+ s ago")
    server.wait_for("QUEUE orders 1/1")

    assert server.post("/orders", json={"item": "apple", "quantity": 0}).status == 400
    unknown = server.post("/orders", json={"item": "plum"}).json()["id"]
    server.wait_for(f"order {unknown}: there is no plum")
    server.wait_for(r'Retrying message "\w+" on queue "orders" in 60 s \(attempt 1: retry\(\) at src/entry\.py:\d+\)')
