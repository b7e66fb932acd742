/** The limits that are in force, as the session tells of them: asked for once, when something first needs one. */
import { get } from "./api.js";
import { useEffect, useState } from "./ui.js";

/** @type {Promise<Record<string, number>> | null} */
let asked = null;

/** @returns {Promise<Record<string, number>>} by key (docs/dashboard-api.md) */
export function limits() {
  asked ??= get("limits").then((answer) => Object.fromEntries(answer.limits.map((limit) => [limit.key, limit.value])));
  asked.catch(() => (asked = null));
  return asked;
}

/** In a component. Until they are known every limit is undefined, and the session itself refuses what is too much. */
export function useLimits() {
  const [known, setKnown] = useState(/** @type {Record<string, number>} */ ({}));
  useEffect(() => {
    let here = true;
    limits().then((found) => here && setKnown(found), () => {});
    return () => void (here = false);
  }, []);
  return known;
}
