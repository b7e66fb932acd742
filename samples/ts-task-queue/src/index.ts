import { api } from "./api";
import type { Env, TaskMessage } from "./env";
import { exportDone, requeueForgotten } from "./upkeep";
import { bury, work } from "./work";

export default {
	fetch: api.fetch,

	async queue(batch: MessageBatch<TaskMessage>, env: Env): Promise<void> {
		if (batch.queue === "tasks-dead") await bury(batch, env);
		else await work(batch, env);
	},

	async scheduled(controller: ScheduledController, env: Env, ctx: ExecutionContext): Promise<void> {
		switch (controller.cron) {
			case "*/10 * * * *":
				ctx.waitUntil(requeueForgotten(env, controller.scheduledTime));
				break;
			case "0 3 * * *":
				ctx.waitUntil(exportDone(env, controller.scheduledTime));
				break;
			default:
				console.warn(`no work for cron ${controller.cron}`);
		}
	},
};
