// What the Workers threw where nobody of wpy looks: waitUntil, Durable Objects, alarms, entrypoints.

// The run() of a workflow that goes on elsewhere is left as it stands, which workerd takes for a fault.
const GIVEN_UP = /^The Workers runtime canceled this request because it detected that your Worker's code had hung/;

function failure({ event, exceptions }) {
	const workflow = event?.request?.headers?.["wpy-workflow"] !== undefined;
	return exceptions.some(({ message }) => !(workflow && GIVEN_UP.test(message)));
}

export default {
	async tail(events, env, ctx) {
		const failed = events.filter(failure);
		if (failed.length === 0) return;
		const told = failed.map(({ event, exceptions, entrypoint, outcome }) => ({ event, exceptions, entrypoint, outcome }));
		await env.WPY.fetch("http://wpy/tail", {
			method: "POST",
			body: JSON.stringify({ worker: ctx.props?.worker, events: told }),
		});
	},
};
