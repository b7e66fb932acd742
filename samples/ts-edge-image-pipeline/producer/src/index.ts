/** What the consumer gets: which upload, and how wide the copies shall be. */
export interface ResizeJob {
	id: string;
	widths: number[];
}

interface Env {
	IMAGES: R2Bucket;
	RESIZE: Queue<ResizeJob>;
}

const DEFAULT_WIDTHS = [64, 256];
const MAX_BYTES = 10 * 1024 * 1024;

export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		const { pathname, searchParams } = new URL(request.url);
		if (request.method === "POST" && pathname === "/images") {
			return upload(request, env, searchParams.get("widths"));
		}
		const [, id, width] = pathname.match(/^\/images\/([0-9a-f-]{36})(?:\/(\d+))?$/) ?? [];
		if (request.method === "GET" && id !== undefined) {
			return width === undefined ? describe(env, id) : serve(env, `${id}/${width}.png`);
		}
		return problem(404, "There is POST /images, GET /images/<id> and GET /images/<id>/<width>.");
	},
};

/** Store the upload and queue the rest: the client does not wait for it. */
async function upload(request: Request, env: Env, asked: string | null): Promise<Response> {
	const widths = asked === null ? DEFAULT_WIDTHS : asked.split(",").map(Number);
	if (widths.length > 10 || !widths.every((width) => Number.isInteger(width) && width > 0 && width <= 4096)) {
		return problem(400, "widths must be up to 10 whole numbers from 1 to 4096");
	}
	const type = request.headers.get("content-type");
	if (type !== "image/png") return problem(415, `send a PNG as image/png, not ${type}`);
	const length = Number(request.headers.get("content-length"));
	if (request.body === null || !(length > 0)) return problem(411, "send the image as the body");
	if (length > MAX_BYTES) return problem(413, `an image may have ${MAX_BYTES} bytes`);

	const id = crypto.randomUUID();
	// The body streams into R2; it is never wholly in memory.
	await env.IMAGES.put(`${id}/original.png`, request.body, { httpMetadata: { contentType: "image/png" } });
	await env.RESIZE.send({ id, widths });
	return Response.json({ id, widths }, { status: 202, headers: { location: `/images/${id}` } });
}

async function describe(env: Env, id: string): Promise<Response> {
	const { objects } = await env.IMAGES.list({ prefix: `${id}/`, include: ["customMetadata"] });
	if (objects.length === 0) return problem(404, `There is no image ${id}.`);
	const files = objects.map(({ key, size, customMetadata }) => ({
		name: key.slice(id.length + 1),
		size,
		...customMetadata,
	}));
	return Response.json({ id, files });
}

async function serve(env: Env, key: string): Promise<Response> {
	const object = await env.IMAGES.get(key);
	if (object === null) return problem(404, "This width is not ready.");
	const headers = new Headers({ etag: object.httpEtag, "cache-control": "public, max-age=31536000, immutable" });
	object.writeHttpMetadata(headers);
	return new Response(object.body, { headers });
}

function problem(status: number, error: string): Response {
	return Response.json({ error }, { status });
}
