/** An order as it goes through the queue. JSON is what both languages understand. */
interface Order {
	id: string;
	item: string;
	quantity: number;
	placed: string;
}

interface Env {
	ORDERS: Queue<Order>;
}

export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		if (request.method !== "POST" || new URL(request.url).pathname !== "/orders") {
			return Response.json({ error: "There is POST /orders." }, { status: 404 });
		}
		const { item, quantity = 1 } = await request.json<Partial<Order>>().catch(() => ({}) as Partial<Order>);
		if (typeof item !== "string" || item === "" || !Number.isInteger(quantity) || quantity < 1) {
			return Response.json({ error: "send an item, and a quantity of 1 or more" }, { status: 400 });
		}
		const order = { id: crypto.randomUUID(), item, quantity, placed: new Date().toISOString() };
		await env.ORDERS.send(order);
		return Response.json(order, { status: 202 });
	},
};
