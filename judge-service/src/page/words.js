// Numbers and states in plain words. Pure: no DOM, no fetch.

const plain = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });

const MISSING = "–";
const known = Number.isFinite;

export const count = (n) => (known(n) ? plain.format(Math.round(n)) : MISSING);

/** 1 decimal below ten, none above: 4.2, 42, 1,234. */
export const rough = (n) => (!known(n) ? MISSING : n < 10 ? String(Math.round(n * 10) / 10) : count(n));

export function share(x) {
  if (!known(x)) return MISSING;
  const percent = x * 100;
  return `${percent.toFixed(percent >= 10 ? 1 : 2)}%`;
}

/** A difference of shares, in percentage points, with its sign. */
export function points(x, decimals = 2) {
  if (!known(x)) return MISSING;
  const size = Math.abs(x * 100).toFixed(decimals);
  return (Number(size) === 0 ? "" : x < 0 ? "−" : "+") + size;
}

export const weight = (percent) => (known(percent) ? `${Math.round(percent * 100) / 100}%` : MISSING);

export function micros(us) {
  if (!known(us)) return MISSING;
  const ms = us / 1000;
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms.toFixed(ms < 1 ? 2 : ms < 10 ? 1 : 0)} ms`;
}

export function span(ms) {
  if (!known(ms)) return MISSING;
  const seconds = Math.max(0, ms) / 1000;
  if (ms < 1000) return `${Math.round(Math.max(0, ms))} ms`;
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}

export const time = (ms, now) => (!known(ms) ? MISSING : now - ms > 43_200_000 ? day.format(ms) : clock.format(ms));

/**
 * An e-value as odds: were the arm harmless, evidence this strong would come up
 * at most once in E rollouts, however often one looks (Ville). Rounded down, so
 * that the page never claims more than there is.
 */
export function odds(logE) {
  if (!known(logE)) return null;
  const e = Math.exp(logE) * (1 + 1e-9); // so that ln(100) is said as 100, not as 99
  if (e < 1.05) return null;
  if (e < 10) return `1 in ${Math.floor(e * 10) / 10}`;
  const digits = 10 ** (Math.floor(Math.log10(e)) - 1);
  if (e < 1e6) return `1 in ${plain.format(Math.floor(e / digits) * digits)}`;
  for (const [size, name] of [[1e12, "trillion"], [1e9, "billion"], [1e6, "million"]]) {
    if (e >= size) return e >= 1e15 ? "under 1 in 1,000 trillion" : `1 in ${plain.format(Math.floor(e / size))} ${name}`;
  }
}

const METRICS = {
  errors: ["Errors", "requests that failed"],
  latency: ["Slow answers", "requests over a threshold learned from control"],
  latency_p50: ["Latency, median", "requests slower than control’s median"],
  latency_p95: ["Latency, p95", "requests slower than control’s p95"],
  agreement: ["Disagreement", "sampled answers that differ from the arm’s model file"],
  difference: ["Difference", "inputs that the arm’s model answers otherwise than control’s"],
  drift: ["Drift", "how differently the answers served are distributed"],
  outcomes: ["Wrong outcomes", "answers that turned out wrong later"],
  value: ["Value", "what users were worth, as was told later"],
  pairs: ["Pairs", "requests that both versions answered, and only the new one wrongly"],
};
export const metricName = (id) => METRICS[id]?.[0] ?? String(id).replaceAll("_", " ");
export const metricHelp = (id) => METRICS[id]?.[1] ?? "";

const ACTIONS = {
  create: "Created", promote: "Moved on", approve: "Approved", roll_back: "Taken back", drop: "Dropped", pause: "Paused",
  resume: "Resumed", abort: "Aborted", finish: "Finished", start: "Started", supersede: "Superseded",
};
export const actionName = (action) => ACTIONS[action] ?? String(action).replaceAll("_", " ");

export const PHASES = {
  waiting: "Waiting",
  running: "Running",
  paused: "Paused",
  promoted: "Promoted",
  finished: "Finished",
  rolled_back: "Rolled back",
  aborted: "Aborted",
  superseded: "Superseded",
};
export const phaseName = (phase) => PHASES[phase] ?? String(phase).replaceAll("_", " ");
export const isOver = (rollout) => ["promoted", "finished", "rolled_back", "aborted", "superseded"].includes(rollout.phase);
/** Promoted, and judged against those who were held back. */
export const isWatched = (rollout) => rollout.phase === "promoted" && rollout.spec?.holdback_percent > 0;

const VERDICTS = { hold: "hold", promote: "promote", roll_back: "roll back", drop: "drop an arm", pause: "pause" };

export function verdict(rollout) {
  if (isWatched(rollout)) return "watching";
  if (rollout.phase === "waiting") return "not ready yet";
  if (isOver(rollout)) return "settled";
  if (rollout.phase === "paused") return "waits for a person";
  if (rollout.phase === "running" && rollout.warming_up) return "warming up";
  const action = rollout.evaluation?.action;
  return action ? VERDICTS[action] ?? String(action).replaceAll("_", " ") : "not judged yet";
}

/** Control is the arm that the spec starts from; `baseline` may move on once a rollout is promoted. */
export const controlOf = (rollout) => rollout.spec?.baseline ?? rollout.arms?.[0]?.name;
export const treatmentsOf = (rollout) => (rollout.arms ?? []).filter((arm) => arm.name !== controlOf(rollout) && arm.name !== rollout.spec?.compare_to);
/** Whether nobody keeps a version, because each request's is drawn. */
export const drawsEachRequest = (rollout) => (rollout.spec?.unit ?? []).includes("each_request");
export const isDropped = (arm) => arm?.dropped_ms != null;
export const armTitle = (arm) => (arm?.version && arm.version !== arm.name ? `${arm.version} (${arm.name})` : arm?.name ?? MISSING);
export const versionOf = (arm) => arm?.version ?? arm?.name ?? "the new version";

/** Paused by the judge, which has its evidence and was told to let a person look first. */
export const asksToLook = (rollout) => rollout.awaits_approval === true;

/** "10%" for one treatment, "b 20%, c 20%" for more. */
export function stepWeights(step) {
  const weights = Object.entries(step?.weights ?? {});
  if (weights.length === 0) return "copies";
  return weights.length === 1 ? weight(weights[0][1]) : weights.map(([arm, w]) => `${arm} ${weight(w)}`).join(", ");
}

const lists = new Intl.ListFormat("en");
export const list = (names) => lists.format(names);
const users = (percent) => (percent >= 100 ? "all users" : `${weight(percent)} of users`);

/** What is happening, in a sentence or two that change only when the state does. */
export function headline(rollout) {
  const dropped = treatmentsOf(rollout).filter(isDropped);
  const gone = dropped.length ? ` ${list(dropped.map(versionOf))} ${dropped.length > 1 ? "were" : "was"} dropped.` : "";
  return now(rollout) + gone;
}

function now(rollout) {
  const treated = treatmentsOf(rollout).filter((arm) => !isDropped(arm));
  const names = list(treated.map(versionOf));
  const has = treated.length > 1 ? "have" : "has";
  const was = treated.length > 1 ? "were" : "was";
  const control = versionOf(rollout.arms?.find((arm) => arm.name === controlOf(rollout)));
  const serving = list(treated.map((arm) => `${versionOf(arm)} ${has === "has" ? "serves " : "at "}${users(arm.weight)}`));
  const at = stepWeights(rollout.steps?.[rollout.step]);
  const copied = treated.every((arm) => arm.weight === 0);
  const arrived = rollout.delivery && rollout.delivery.workers > 0 && rollout.delivery.converged === rollout.delivery.workers;
  const back = arrived ? `all users are on ${control} again` : `users go back to ${control}`;
  switch (rollout.phase) {
    case "waiting":
      return `${names} ${has} no users yet: the first step begins when every version is ready.`;
    case "promoted":
      return `${names} ${was} promoted: ${serving}${isWatched(rollout) ? `, watched against the ${weight(rollout.spec.holdback_percent)} held back` : ""}.`;
    case "finished":
      return `${names} ${was} promoted, and ${has === "has" ? "serves" : "serve"} everybody.`;
    case "superseded":
      return `Another rollout took its place at ${at}.`;
    case "rolled_back":
      return `${names} ${was} taken back at ${at}: ${back}.`;
    case "aborted":
      return `Aborted by hand at ${at}: ${back}.`;
    case "paused":
      if (asksToLook(rollout)) return `${names} ${has === "has" ? "waits" : "wait"} at ${at}: a person is to look before it goes on.`;
      return `Paused at ${at}: ${names} ${has} these users until somebody decides.`;
  }
  if (copied) return `${names} ${has} copies of requests and no users: nobody sees its answers.`;
  if (rollout.warming_up) return `${serving} while the judge learns how fast ${control} is.`;
  switch (rollout.evaluation?.action) {
    case "roll_back":
      return `${names} does harm: the judge is taking it back.`;
    case "promote":
      return `${serving} and does well: the judge moves it on.`;
    case "pause":
      return `${serving}; the judge pauses here and asks a person.`;
    case "drop":
      return `${serving}; the judge drops ${list(rollout.evaluation.drops ?? [])}.`;
    case "hold":
      return `${serving}; the judge holds until the evidence is in.`;
  }
  return `${serving}; nothing is judged yet.`;
}

export function reasons(rollout, decisions) {
  const settled = {
    rolled_back: "roll_back", aborted: "abort", promoted: null, paused: "pause", finished: "finish", superseded: "supersede",
  };
  if (isWatched(rollout) && rollout.evaluation?.reasons?.length) return rollout.evaluation.reasons;
  if (rollout.phase in settled) {
    const last = decisions.findLast((d) => !settled[rollout.phase] || d.action === settled[rollout.phase]);
    const given = last?.reasons?.filter(Boolean) ?? [];
    if (given.length) return given;
  }
  return rollout.evaluation?.reasons ?? [];
}

/** How a decision reached the workers. */
export function delivered({ workers = 0, missing = 0, first_worker_ms: first, last_worker_ms: last }) {
  const reached = `at the first of ${count(workers)} workers after ${span(first ?? last)}, at the last after ${span(last)}`;
  return missing > 0 ? `${reached}; ${count(missing)} never had it` : reached;
}

/** How far the last plan has come, as proof rather than hope. */
export function reach({ delivery, last }) {
  if (!delivery) return null;
  const { workers = 0, converged = 0, revision } = delivery;
  if (workers === 0) return { text: "No Envoy worker has asked for a plan yet.", good: false };
  if (converged < workers) {
    const text = workers === 1 ? `The one worker does not route by plan ${revision} yet.`
      : converged === 0 ? `None of ${workers} workers routes by plan ${revision} yet.`
        : `${converged} of ${workers} workers ${converged === 1 ? "routes" : "route"} by plan ${revision}; not yet the others.`;
    return { text, good: false };
  }
  const all = workers === 1 ? "The one worker routes" : workers === 2 ? "Both workers route" : `All ${workers} workers route`;
  const took = last?.delivered?.last_worker_ms;
  const when = known(took) ? ` The last decision reached the last of them ${took === 0 ? "at once" : `after ${span(took)}`}.` : "";
  return { text: `${all} by plan ${revision}.${when}`, good: true };
}
