// What the Workers threw where nobody of wpy looks: waitUntil, Durable Objects, alarms, entrypoints.
export default {
	async tail(events, env, ctx) {
		const failed = events.filter((event) => event.exceptions.length > 0);
		if (failed.length === 0) return;
		const told = failed.map(({ event, exceptions, entrypoint, outcome }) => ({ event, exceptions, entrypoint, outcome }));
		await env.WPY.fetch("http://wpy/tail", {
			method: "POST",
			body: JSON.stringify({ worker: ctx.props?.worker, events: told }),
		});
	},
};
