/** PNG with 8 bits a channel, RGB or RGBA, not interlaced: what most tools write (https://www.w3.org/TR/png-3/). */

export interface Image {
	width: number;
	height: number;
	/** 3 or 4 bytes a pixel. */
	channels: number;
	pixels: Uint8Array;
}

export class NotAnImage extends Error {}

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const CHANNELS: Record<number, number> = { 2: 3, 6: 4 };

export async function decode(data: Uint8Array): Promise<Image> {
	if (data.length < 33 || SIGNATURE.some((byte, i) => data[i] !== byte)) throw new NotAnImage("it is no PNG");
	const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
	const width = view.getUint32(16);
	const height = view.getUint32(20);
	const [depth, color, , , interlaced] = data.subarray(24, 29);
	const channels = CHANNELS[color];
	if (depth !== 8 || channels === undefined || interlaced !== 0) {
		throw new NotAnImage(`a PNG of colour type ${color} with ${depth} bits is not supported`);
	}
	const parts: Uint8Array[] = [];
	for (let at = 8; at + 12 <= data.length; ) {
		const length = view.getUint32(at);
		const type = String.fromCharCode(...data.subarray(at + 4, at + 8));
		if (type === "IDAT") parts.push(data.subarray(at + 8, at + 8 + length));
		at += 12 + length;
	}
	let raw: Uint8Array;
	try {
		raw = await through(new Blob(parts as BlobPart[]), new DecompressionStream("deflate"));
	} catch {
		throw new NotAnImage("its pixels are damaged");
	}
	if (raw.length < height * (width * channels + 1)) throw new NotAnImage("it is cut off");
	return { width, height, channels, pixels: unfilter(raw, width * channels, height, channels) };
}

/** Undo the filter of each row: a byte was written as its difference to what is left of it and above. */
function unfilter(raw: Uint8Array, stride: number, height: number, channels: number): Uint8Array {
	const pixels = new Uint8Array(stride * height);
	for (let y = 0; y < height; y++) {
		const filter = raw[y * (stride + 1)];
		for (let x = 0; x < stride; x++) {
			const at = y * stride + x;
			const left = x >= channels ? pixels[at - channels] : 0;
			const up = y > 0 ? pixels[at - stride] : 0;
			const corner = x >= channels && y > 0 ? pixels[at - stride - channels] : 0;
			const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter] ?? 0;
			pixels[at] = raw[y * (stride + 1) + 1 + x] + guess;
		}
	}
	return pixels;
}

function paeth(left: number, up: number, corner: number): number {
	const estimate = left + up - corner;
	const [a, b, c] = [left, up, corner].map((value) => Math.abs(estimate - value));
	return a <= b && a <= c ? left : b <= c ? up : corner;
}

/** A smaller copy, each pixel the mean of those it stands for. An image is never made larger. */
export function resize(image: Image, wanted: number): Image {
	const width = Math.min(wanted, image.width);
	const height = Math.max(1, Math.round((image.height * width) / image.width));
	const { channels } = image;
	const pixels = new Uint8Array(width * height * channels);
	for (let y = 0; y < height; y++) {
		const top = Math.floor((y * image.height) / height);
		const bottom = Math.max(top + 1, Math.floor(((y + 1) * image.height) / height));
		for (let x = 0; x < width; x++) {
			const from = Math.floor((x * image.width) / width);
			const to = Math.max(from + 1, Math.floor(((x + 1) * image.width) / width));
			for (let channel = 0; channel < channels; channel++) {
				let sum = 0;
				for (let sy = top; sy < bottom; sy++) {
					for (let sx = from; sx < to; sx++) sum += image.pixels[(sy * image.width + sx) * channels + channel];
				}
				pixels[(y * width + x) * channels + channel] = Math.round(sum / ((bottom - top) * (to - from)));
			}
		}
	}
	return { width, height, channels, pixels };
}

export async function encode({ width, height, channels, pixels }: Image): Promise<Uint8Array> {
	const stride = width * channels;
	const raw = new Uint8Array((stride + 1) * height); // every row begins with 0: not filtered
	for (let y = 0; y < height; y++) raw.set(pixels.subarray(y * stride, (y + 1) * stride), y * (stride + 1) + 1);
	const header = new Uint8Array(13);
	const view = new DataView(header.buffer);
	view.setUint32(0, width);
	view.setUint32(4, height);
	header.set([8, channels === 3 ? 2 : 6, 0, 0, 0], 8);
	const packed = await through(new Blob([raw]), new CompressionStream("deflate"));
	const chunks = [new Uint8Array(SIGNATURE), chunk("IHDR", header), chunk("IDAT", packed), chunk("IEND", new Uint8Array())];
	return new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer());
}

function chunk(type: string, data: Uint8Array): Uint8Array {
	const made = new Uint8Array(data.length + 12);
	const view = new DataView(made.buffer);
	view.setUint32(0, data.length);
	made.set(new TextEncoder().encode(type), 4);
	made.set(data, 8);
	view.setUint32(data.length + 8, crc(made.subarray(4, data.length + 8)));
	return made;
}

function crc(data: Uint8Array): number {
	let value = ~0;
	for (const byte of data) {
		value ^= byte;
		for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0);
	}
	return ~value >>> 0;
}

async function through(blob: Blob, stream: CompressionStream | DecompressionStream): Promise<Uint8Array> {
	return new Uint8Array(await new Response(blob.stream().pipeThrough(stream)).arrayBuffer());
}
