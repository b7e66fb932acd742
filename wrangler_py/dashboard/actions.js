/**
 * What a person can do. Every action is a call of the API, and can be had as the line that does the same from a shell or
 * in a test: `copyAs` asks the session for those lines.
 */
import { post, session, twins, ApiError } from "./api.js";
import { openMenu, toast } from "./parts/floating.js";
import { html } from "./ui.js";
import { plural } from "./format.js";
import { refresh } from "./live.js";
import { href, navigate } from "./router.js";

/** @typedef {{path: string, body?: object}} Call */

export const whyNot = () => (session.readonly ? "This session was started with --readonly: it shows, and changes nothing." : undefined);

/**
 * Carry out a call and say what became of it.
 * @param {Call} call @param {(answer: any) => any} [say] what to tell, null for nothing
 * @returns {Promise<any>} the answer, or null when it was refused (the person has been told)
 */
export async function act(call, say = () => "Done.") {
  try {
    const answer = await post(call.path, call.body);
    const text = say(answer);
    if (text) toast(text);
    setTimeout(refresh); // once the page shows what follows: it may no longer show what the action was about
    return answer;
  } catch (error) {
    const known = /** @type {ApiError} */ (error);
    toast(known.status === 403 && session.readonly ? whyNot() : known.message, { bad: true });
    return null;
  }
}

/** A menu with the lines that do the same. @param {Element} anchor @param {Call | {label: string, call: Call}[]} calls */
export function copyAs(anchor, calls) {
  const list = Array.isArray(calls) ? calls : [{ label: "", call: calls }];
  openMenu(
    anchor,
    Promise.all(list.map(async ({ label, call }) => ({ label, also: await twins(call.path, call.body) }))).then((all) =>
      all.flatMap(({ label, also }, i) => [
        i > 0 && { line: true },
        label && { title: label },
        ...Object.entries({ cli: "wpy command", curl: "curl", pytest: "pytest" })
          .filter(([kind]) => also?.[kind])
          .map(([kind, name]) => ({ label: html`<span class="copy-line"><b>${name}</b><code class="cut">${also[kind]}</code></span>`, icon: "copy", run: () => copy(also[kind], name) })),
      ]),
    ),
  );
}

/** @param {string} text @param {string} what */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`Copied: ${what}`);
  } catch {
    toast(html`The browser did not allow copying. Here it is: <code>${text}</code>`, { ms: 20000 });
  }
}

/** @typedef {{ids?: string[], q?: string, queue?: string}} Which some messages by id, or all that a search finds */

const many = (n) => plural(n, "message");

/** @param {Which} which @returns {Call} */
export const retryCall = (which) => ({ path: "messages/retry", body: which });
/** @param {Which} which @returns {Call} */
export const replayCall = (which) => ({ path: "messages/replay", body: which });
/** @param {Which} which @returns {Call} */
export const discardCall = (which) => ({ path: "messages/discard", body: which });
/** @param {string} dlq @param {Which} which @returns {Call} */
export const redriveCall = (dlq, { ids, q }) => ({ path: `queues/${encodeURIComponent(dlq)}/redrive`, body: ids ? { ids } : q ? { q } : {} });

/** @param {Which} which */
export const retryNow = (which) => act(retryCall(which), (a) => (a.count ? `${many(a.count)} made ready now.` : "Nothing was waiting: no message was changed."));

/** Send again as new messages, to the code as it is now. @param {Which} which @param {{open?: boolean}} [options] */
export async function replay(which, { open = false } = {}) {
  const answer = await act(replayCall(which), () => null);
  if (!answer) return null;
  const first = answer.messages?.[0];
  if (open && first && answer.count === 1) navigate(href(["message", first.id]));
  else toast(`${many(answer.count)} replayed.`, first ? { action: { label: "Show", run: () => navigate(answer.count === 1 ? href(["message", first.id]) : href(["queue", first.queue])) } } : {});
  return answer;
}

/** Take messages away; ten seconds to think again. @param {Which} which */
export async function discard(which) {
  const answer = await act(discardCall(which), () => null);
  if (!answer) return null;
  if (!answer.count) toast("Nothing was discarded: the messages were gone already.");
  else toast(`${many(answer.count)} discarded.`, { undo: () => act({ path: "messages/undo", body: { undo: answer.undo } }, (a) => `${many(a.count)} brought back.`) });
  return answer;
}

/** @param {string} dlq @param {Which} which */
export const redrive = (dlq, which) => act(redriveCall(dlq, which), (a) => `${many(a.count)} went back${a.byQueue ? " to " + Object.keys(a.byQueue).join(", ") : ""}.`);

/** @param {string} queue @param {boolean} paused */
export const setPaused = (queue, paused) => act({ path: `queues/${encodeURIComponent(queue)}/${paused ? "resume" : "pause"}` }, () => (paused ? `Delivery of ${queue} goes on.` : `Delivery of ${queue} is paused; messages are still taken in.`));

// The clock -------------------------------------------------------------------------------------------------------

/** @param {number} seconds @returns {Call} */
export const advanceCall = (seconds) => ({ path: "clock/advance", body: { seconds } });
/** @type {Call} */
export const nextCall = { path: "clock/next", body: {} };
/** @type {Call} */
export const freezeCall = { path: "clock/freeze", body: {} };
/** @type {Call} */
export const resumeCall = { path: "clock/resume", body: {} };
/** @type {Call} */
export const realCall = { path: "clock/resume", body: { wallTime: true } };
