// wpy's way in: queue batches and crons, each by workerd's own events, whose outcome goes back as it is.

function bytes(base64) {
	const text = atob(base64);
	const array = new Uint8Array(text.length);
	for (let i = 0; i < text.length; i++) array[i] = text.charCodeAt(i);
	return array;
}

function toMessage(message) {
	const common = { id: message.id, timestamp: new Date(message.ts), attempts: message.n };
	if ("j" in message) return { ...common, body: message.j };
	if ("t" in message) return { ...common, body: message.t };
	return "b" in message ? { ...common, body: bytes(message.b).buffer } : { ...common, serializedBody: bytes(message.v) };
}

async function queue(target, front, batch) {
	const { metrics } = batch;
	const oldest = metrics.oldestMessageTimestamp;
	const result = await target.queue(batch.queue, batch.messages.map(toMessage), {
		metrics: { ...metrics, oldestMessageTimestamp: oldest ? new Date(oldest) : undefined },
	});
	const plain = result.outcome === "ok" && result.retryMessages.length === 0 && !result.retryBatch.retry;
	const seen = plain ? {} : await front.take(batch.messages.map((message) => message.id));
	return { ...result, seen };
}

async function scheduled(target, front, run) {
	const result = await target.scheduled({ cron: run.cron, scheduledTime: new Date(run.time) });
	const seen = result.outcome === "ok" ? {} : await front.take([`cron ${run.cron} ${run.time}`]);
	return { outcome: result.outcome, noRetry: result.noRetry, seen };
}

export default {
	async fetch(request, env) {
		const [, kind, number] = new URL(request.url).pathname.split("/");
		if (kind === "ping") return new Response("pong");
		const target = env[`worker${number}`];
		const front = env[`front${number}`];
		if (kind === "about") return Response.json(await front.about());
		const event = await request.json();
		return Response.json(await (kind === "queue" ? queue : scheduled)(target, front, event));
	},
};
