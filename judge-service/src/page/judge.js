// Asking the judge, and being told by it.

const PATIENCE_MS = 5000;
const AGAIN_MS = 2000;

/** The judge's own word that something is not possible, or not now. */
export class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** How far the judge's clock is before this browser's. */
export const clock = { offset: 0 };

/** Anything without the judge's own header comes from something in between: the judge did not answer. */
export async function ask(path, options = {}) {
  const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS), ...options });
  if (!response.headers.has("x-serinus-judge")) throw new Error("not the judge");
  const date = Date.parse(response.headers.get("date"));
  // The header has whole seconds and took its time: below two seconds the clocks count as equal.
  if (Number.isFinite(date)) clock.offset = Math.abs(date - Date.now()) > 2000 ? date - Date.now() : 0;
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Problem(response.status, body?.detail ?? body?.title ?? `status ${response.status}`);
  return body;
}

export const at = (id, rest = "") => `v1/rollouts/${encodeURIComponent(id)}${rest}`;

let source = null;

/**
 * The judge tells at once how every rollout stands, and then what changes; the connection
 * is made anew when it breaks, and none is there while nobody looks: a browser has six
 * for one host, over all its tabs.
 *
 * @param hear what to do with each event, by its name
 */
export function listen(hear) {
  if (document.hidden) {
    source?.close();
    source = null;
    return;
  }
  if (source) return;
  source = new EventSource("v1/events");
  for (const [name, change] of Object.entries(hear)) {
    source.addEventListener(name, (event) => change(JSON.parse(event.data)));
  }
  source.onerror = () => {
    // The browser tries again by itself, unless it was answered with an error.
    if (source?.readyState === EventSource.CLOSED) {
      source = null;
      setTimeout(() => listen(hear), AGAIN_MS);
    }
    hear.broken();
  };
}
