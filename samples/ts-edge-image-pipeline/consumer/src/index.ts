import type { ResizeJob } from "../../producer/src/index";
import { decode, encode, NotAnImage, resize } from "./png";

interface Env {
	IMAGES: R2Bucket;
}

export default {
	async queue(batch: MessageBatch<ResizeJob>, env: Env): Promise<void> {
		// Each message is settled by itself: one bad image does not bring the others back.
		await Promise.all(batch.messages.map((message) => work(message, env)));
	},
};

async function work(message: Message<ResizeJob>, env: Env): Promise<void> {
	const { id, widths } = message.body;
	const original = await env.IMAGES.get(`${id}/original.png`);
	if (original === null) {
		console.warn(`${id}: the upload is gone`);
		message.ack(); // it will not come back
		return;
	}
	try {
		const image = await decode(new Uint8Array(await original.arrayBuffer()));
		for (const width of widths) {
			const smaller = resize(image, width);
			await env.IMAGES.put(`${id}/${width}.png`, await encode(smaller), {
				httpMetadata: { contentType: "image/png" },
				customMetadata: { width: String(smaller.width), height: String(smaller.height) },
			});
		}
		console.log(`${id}: ${image.width}x${image.height} becomes ${widths.join(", ")} wide`);
		message.ack();
	} catch (error) {
		if (error instanceof NotAnImage) {
			console.error(`${id}: ${error.message}`);
			message.ack(); // it will be no image the next time either
		} else {
			console.error(`${id}: ${error}`);
			message.retry({ delaySeconds: 10 * message.attempts });
		}
	}
}
