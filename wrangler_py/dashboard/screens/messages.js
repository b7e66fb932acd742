/** All messages of the session, of every queue, waiting and done. */
import { html, useCell } from "../ui.js";
import { overview } from "../live.js";
import { href, setParams } from "../router.js";
import { MessageList } from "../parts/message_list.js";

/** @param {{params: URLSearchParams}} props */
export default function Messages({ params }) {
  const o = useCell(overview);
  const first = (o?.queues ?? [])[0]?.name;
  const empty = html`<div class="empty"><strong>No messages yet</strong><span>They come when a Worker calls <code>env.QUEUE.send(...)</code>, or from here.</span>${first && html`<a class="btn" href=${href(["queue", first], { send: "1" })}>Send one to ${first}</a>`}</div>`;
  return html`<div class="page fixed"><h1 class="only-read">Messages</h1><${MessageList} q=${params.get("q") ?? ""} onSearch=${(q) => setParams({ q })} empty=${empty} /></div>`;
}
