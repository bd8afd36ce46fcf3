// When steps began and how a rollout ended.

import * as words from "./words.js";

/** When each step was entered; the current one by the judge's own word. */
export function stepTimes(rollout, decisions) {
  const entered = new Map([[0, rollout.created_ms]]);
  for (const d of decisions) {
    if (d.to_step != null && d.to_step !== d.from_step && d.action !== "create") entered.set(d.to_step, d.at_ms);
  }
  entered.set(rollout.step, rollout.step_since_ms ?? entered.get(rollout.step));
  return entered;
}

/** Where steps began and how it ended, for the time axis of every plot. */
export function stepMarks(rollout, decisions) {
  const marks = [...stepTimes(rollout, decisions)].filter(([, t]) => t != null).sort((a, b) => a[1] - b[1])
    .map(([i, t]) => ({ t, text: words.stepWeights(rollout.steps?.[i]) }));
  for (const arm of (rollout.arms ?? []).filter(words.isDropped)) {
    marks.push({ t: arm.dropped_ms, text: `${words.versionOf(arm)} dropped`, kind: "end-mark" });
  }
  const end = {
    rolled_back: "taken back", aborted: "aborted", promoted: "promoted", finished: "finished", superseded: "superseded",
  }[rollout.phase];
  if (end) marks.push({ t: rollout.phase_since_ms, text: end, kind: "end-mark" });
  return marks;
}

