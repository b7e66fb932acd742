import { EmailMessage } from "cloudflare:email";
import { WorkerEntrypoint, DurableObject } from "cloudflare:workers";
import { Hono } from "hono";
import { drizzle } from "drizzle-orm/d1";
import { sqliteTable, text, integer } from "drizzle-orm/sqlite-core";
import { eq } from "drizzle-orm";
import { createHash } from "node:crypto";
import { Buffer } from "buffer";
import hello from "./hello.txt";
import sql from "./q.sql";
import wasm from "./add.wasm";
import bin from "./x.bin";
import notes from "./notes.md";
import { aliased } from "aliased";

declare const DEFINED: string;

const users = sqliteTable("users", { id: integer("id").primaryKey({ autoIncrement: true }), name: text("name").notNull().unique() });

export class Counter extends DurableObject<any> {
  async inc() { let n = (await this.ctx.storage.get<number>("n")) ?? 0; await this.ctx.storage.put("n", ++n); await this.ctx.storage.setAlarm(Date.now() + 200); return n; }
  sqlCount() { this.ctx.storage.sql.exec("create table if not exists t(a)"); this.ctx.storage.sql.exec("insert into t values (1)"); return this.ctx.storage.sql.exec("select count(*) c from t").one().c; }
  async alarm() { await this.ctx.storage.put("alarms", ((await this.ctx.storage.get<number>("alarms")) ?? 0) + 1); console.log("alarm ran"); }
  async alarms() { return (await this.ctx.storage.get("alarms")) ?? 0; }
  async fetch(req: Request) { const [a, b] = Object.values(new WebSocketPair()); this.ctx.acceptWebSocket(b); return new Response(null, { status: 101, webSocket: a }); }
  webSocketMessage(ws: WebSocket, m: string) { ws.send("echo " + m); }
}
export class Named extends WorkerEntrypoint<any> { add(a: number, b: number) { return a + b; } async fetch() { return new Response("named"); } }

const app = new Hono<{ Bindings: any }>();
const got: any[] = [];
app.get("/", (c) => c.text("hono"));
app.get("/kv", async (c) => {
  const kv: KVNamespace = c.env.KV; const out: any = {};
  await kv.put("a/b ü", "välue", { metadata: { x: "ü", n: 1 }, expirationTtl: 3600 });
  out.meta = await kv.getWithMetadata("a/b ü"); await kv.put("j", JSON.stringify({ a: 1 })); out.json = await kv.get("j", "json");
  out.none = await kv.get("nope"); out.list = await kv.list({ prefix: "" }); out.list.keys.forEach((k: any) => delete k.expiration);
  out.bulk = [...(await kv.get(["j", "nope"])).entries()];
  await kv.put("bytes", new Uint8Array([1, 2, 255])); out.bytes = [...new Uint8Array((await kv.get("bytes", "arrayBuffer"))!)];
  await kv.put("stream", new Response("streamed").body!); out.stream = await new Response((await kv.get("stream", "stream"))!).text();
  try { await kv.put("x", "1", { expirationTtl: 5 }) } catch (e) { out.err = String(e) }
  try { await kv.get("") } catch (e) { out.err2 = String(e) }
  try { await kv.put("k".repeat(600), "1") } catch (e) { out.err3 = String(e) }
  await kv.delete("j"); out.deleted = await kv.get("j");
  return c.json(out);
});
app.get("/r2", async (c) => {
  const r2: R2Bucket = c.env.R2; const out: any = {};
  const p = await r2.put("dir/a.txt", "hello world", { httpMetadata: { contentType: "text/plain", cacheExpiry: new Date(1e12) }, customMetadata: { a: "ü" } });
  out.put = [p!.key, p!.size, p!.etag, p!.httpEtag, p!.httpMetadata, p!.customMetadata, p!.checksums.toJSON(), p!.storageClass];
  const g = await r2.get("dir/a.txt"); out.get = [await g!.text(), g!.range, g!.httpMetadata];
  out.range = await (await r2.get("dir/a.txt", { range: { offset: 6, length: 3 } }))!.text();
  out.suffix = await (await r2.get("dir/a.txt", { range: { suffix: 5 } }))!.text();
  out.head = (await r2.head("dir/a.txt"))!.size; out.none = await r2.get("nope"); out.nohead = await r2.head("nope");
  const cond: any = await r2.get("dir/a.txt", { onlyIf: { etagMatches: "zzz" } }); out.cond = [cond.key, "body" in cond];
  out.putcond = await r2.put("dir/a.txt", "x", { onlyIf: { etagDoesNotMatch: "*" } });
  await r2.put("dir/b.txt", "b"); await r2.put("top", new Uint8Array(300000));
  const l = await r2.list({ delimiter: "/", include: ["httpMetadata"] }); out.list = [l.objects.map((o) => o.key), l.delimitedPrefixes, l.truncated];
  const l2 = await r2.list({ limit: 1 }); out.list2 = [l2.objects.map((o) => o.key), l2.truncated, typeof (l2 as any).cursor];
  out.big = (await (await r2.get("top"))!.arrayBuffer()).byteLength;
  const m = await r2.createMultipartUpload("multi", { customMetadata: { m: "1" } }); const p1 = await m.uploadPart(1, new Uint8Array(5 * 1024 * 1024)); const p2 = await m.uploadPart(2, "tail");
  const done = await m.complete([p1, p2]); out.multi = [done.size, done.etag.endsWith("-2")];
  try { await r2.put("x", "x", { md5: "00000000000000000000000000000000" }) } catch (e) { out.err = String(e) }
  try { await r2.get("dir/a.txt", { range: { offset: 100 } }) } catch (e) { out.err2 = String(e) }
  await r2.delete(["dir/a.txt", "dir/b.txt"]); out.after = (await r2.list()).objects.map((o) => o.key);
  return c.json(out);
});
app.get("/d1", async (c) => {
  const db: D1Database = c.env.DB; const out: any = {};
  await db.exec("DROP TABLE IF EXISTS users; "); out.exec = (await db.exec("CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);")).count;
  const r = await db.prepare("INSERT INTO users (name) VALUES (?)").bind("ann").run(); out.run = [r.success, r.meta.changes, r.meta.last_row_id, r.meta.changed_db, r.results];
  out.batch = (await db.batch([db.prepare("INSERT INTO users (name) VALUES (?)").bind("bob"), db.prepare("SELECT name FROM users")])).map((x) => x.results);
  out.first = await db.prepare("SELECT name FROM users WHERE id = ?").bind(1).first("name"); out.all = (await db.prepare("SELECT * FROM users").all()).results;
  out.raw = await db.prepare("SELECT id, name FROM users").raw({ columnNames: true });
  out.blob = await db.prepare("SELECT ? AS b").bind(new Uint8Array([1, 2])).first(); out.null = await db.prepare("SELECT NULL AS n").first();
  try { await db.prepare("INSERT INTO users (name) VALUES ('ann')").run() } catch (e) { out.unique = String(e) }
  try { await db.prepare("SELEC 1").run() } catch (e) { out.syntax = String(e) }
  try { await db.exec("INSERT nope") } catch (e) { out.execerr = String(e) }
  try { await db.prepare("SELECT ?").bind(undefined as any).run() } catch (e) { out.undef = String(e) }
  const s = db.withSession("first-primary"); out.session = [(await s.prepare("SELECT 1 AS one").first()), typeof s.getBookmark()];
  const dz = drizzle(db); await dz.insert(users).values({ name: "driz" }); out.drizzle = await dz.select().from(users).where(eq(users.name, "driz")); out.dbatch = (await dz.batch([dz.select().from(users), dz.select({ n: users.name }).from(users)])).length;
  return c.json(out);
});
app.get("/misc", async (c) => {
  const out: any = { hello, sql, notes, aliased, defined: DEFINED, object: c.env.OBJECT, bin: new Uint8Array(bin as any).length, hash: createHash("md5").update("a").digest("hex"), buf: Buffer.from("hi").toString("base64"), ua: navigator.userAgent };
  out.wasm = ((await WebAssembly.instantiate(wasm)).exports as any).add(2, 3);
  out.limit = [(await c.env.LIMIT.limit({ key: "k" })).success, (await c.env.LIMIT.limit({ key: "k" })).success, (await c.env.LIMIT.limit({ key: "k" })).success];
  c.env.AE.writeDataPoint({ indexes: ["i"], blobs: ["b"], doubles: [1] });
  out.version = Object.keys(c.env.VERSION); out.self = await c.env.SELF.add(2, 3); out.named = await (await c.env.SELF.fetch("http://x/")).text();
  const none = await c.env.NONE.fetch("https://x.example/a?b=1"); out.nobody = [none.status, await none.text()];
  const a = await c.env.ASSETS.fetch("https://x/page"); out.asset = [a.status, a.headers.get("content-type"), await a.text()];
  out.missing = (await c.env.ASSETS.fetch("https://x/nothere")).status;
  return c.json(out);
});
app.get("/email", async (c) => {
  const raw = (from: string, more = "Message-ID: <1@x>\r\n") => new EmailMessage("me@example.com", "ann@example.com", `From: Me <${from}>\r\nTo: ann@example.com\r\n${more}Subject: Raw\r\n\r\nhello ü\r\n`);
  const out: unknown[] = [];
  for (const message of [raw("me@example.com"), raw("other@example.com"), raw("me@example.com", ""), { from: { name: "Me", email: "me@example.com" }, to: ["ann@example.com"], subject: "Built", text: "plain", html: "<b>html</b>" }, { from: "me@example.com", to: "bob@example.com", text: "x" }]) {
    try { out.push(typeof (await c.env.MAIL.send(message)).messageId); } catch (e) { out.push((e as Error).message); }
  }
  return c.json(out);
});
app.get("/do", async (c) => { const s = c.env.COUNTER.getByName("x"); const out: any = { inc: await s.inc(), sql: await s.sqlCount() }; await new Promise((r) => setTimeout(r, 500)); out.alarms = await s.alarms(); return c.json(out); });
app.get("/ws", (c) => c.env.COUNTER.getByName("ws").fetch(c.req.raw));
app.get("/cache", async (c) => { const cache = caches.default; await cache.put("http://x/a", new Response("cached", { headers: { "cache-control": "max-age=60" } })); const m = await cache.match("http://x/a"); const d = await cache.delete("http://x/a"); return c.json([await m?.text(), m?.headers.get("cf-cache-status"), d, (await cache.match("http://x/a")) === undefined, (await caches.open("n")) !== undefined]); });
app.get("/zipped", (c) => {
  const text = new Response("zipped ".repeat(50)).body!;
  if (c.req.query("auto")) return new Response(text, { headers: { "content-encoding": "gzip" } });
  return new Response(text.pipeThrough(new CompressionStream("gzip")), { headers: { "content-encoding": "gzip" }, encodeBody: "manual" } as any);
});
app.post("/upload", async (c) => { const o = await c.env.R2.put("up", c.req.raw.body); return c.json([o.size, o.etag]); });
app.get("/download", async (c) => { const o = await c.env.R2.get("up"); return new Response(o.body, { headers: { "content-length": String(o.size) } }); });
app.get("/sse", (c) => { const { readable, writable } = new TransformStream(); const w = writable.getWriter(); c.executionCtx.waitUntil((async () => { for (let i = 0; i < 3; i++) { await w.write(new TextEncoder().encode(`data: ${i}\n\n`)); await new Promise((r) => setTimeout(r, 200)); } await w.close(); })()); return new Response(readable, { headers: { "content-type": "text/event-stream" } }); });
app.get("/send", async (c) => {
  const q = c.env.Q; await q.send({ a: 1 }); await q.send("text", { contentType: "text" }); await q.send(new Uint8Array([1, 2, 3]), { contentType: "bytes" }); await q.send({ m: new Map([[1, "x"]]), d: new Date(0), b: 5n }, { contentType: "v8" });
  await q.sendBatch([{ body: "j" }, { body: new Set([1]), contentType: "v8" }, { body: "del", delaySeconds: 1 }]);
  const errs: string[] = []; for (const f of [() => q.send("x".repeat(200000)), () => q.send("x", { delaySeconds: 90000 }), () => q.sendBatch([]), () => q.send("x", { contentType: "nope" }), () => q.sendBatch(Array.from({ length: 101 }, () => ({ body: 1 }))), () => q.send("x", { delaySeconds: -1 })]) { try { errs.push("ok " + JSON.stringify(await f())); } catch (e) { errs.push(String(e)); } }
  return c.json({ errs, metrics: await q.metrics?.() });
});
app.get("/got", (c) => c.json(got));
app.get("/env", (c) => c.json(Object.keys(c.env).sort()));
app.get("/proc", (c) => c.json([process.env.GREETING, typeof process.version]));
export default {
  fetch: app.fetch,
  async queue(batch: MessageBatch<any>) { for (const m of batch.messages) got.push([m.body instanceof ArrayBuffer ? "ab" + m.body.byteLength : m.body instanceof Uint8Array ? "u8" + m.body.length : m.body?.m instanceof Map ? ["map", [...m.body.m], m.body.d.getTime(), typeof m.body.b] : m.body instanceof Set ? "set" : m.body, m.attempts, (batch as any).metadata?.metrics?.backlogCount]); },
};
