// What is happening, why, and how far along its steps a rollout is.

import { h } from "./dom.js";
import { phasePill, weightOf, when } from "./shared.js";
import { stepTimes } from "./times.js";
import * as words from "./words.js";

export function about(rollout, now) {
  const ended = words.isOver(rollout);
  return [
    phasePill(rollout), " ", h("strong", null, rollout.id), " · ",
    (rollout.arms ?? []).map((arm) => armTitleWithWeight(arm)).join(" · "), " · ",
    ended ? ["since ", when(rollout.phase_since_ms, now)] : `${words.span(now - rollout.created_ms)} old`,
  ];
}
const armTitleWithWeight = (arm) => `${words.armTitle(arm)} ${weightOf(arm)}`;

export function reasons(rollout, decisions) {
  const why = words.reasons(rollout, decisions);
  const notices = (rollout.notices ?? []).map((notice) => h("p", { class: "attention" }, notice));
  if (why.length < 2) return [...notices, ...why.map((reason) => h("p", null, reason))];
  return [...notices, h("ul", null, why.map((reason) => h("li", null, reason)))];
}

export function steps(rollout, decisions, now) {
  const entered = stepTimes(rollout, decisions);
  const over = words.isOver(rollout);
  return (rollout.steps ?? []).map((step, i) => {
    const current = i === rollout.step;
    const done = i < rollout.step || (current && ["promoted", "finished"].includes(rollout.phase));
    const state = done ? "done" : current ? rollout.phase : "ahead";
    const start = entered.get(i);
    const end = current ? (over ? rollout.phase_since_ms : now) : entered.get(i + 1);
    const note = {
      done: "done", running: rollout.warming_up ? "warming up" : "now", paused: "paused here",
      rolled_back: "taken back here", aborted: "aborted here", superseded: "superseded here",
      waiting: "not ready yet", ahead: "ahead",
    }[state] ?? state;
    return h("li", { class: `step ${state}`, "aria-current": current ? "step" : null },
      h("span", { class: "dot", "aria-hidden": "true" }, { done: "✓", paused: "Ⅱ", rolled_back: "✕", aborted: "✕", superseded: "✕" }[state] ?? ""),
      h("strong", null, words.stepWeights(step)),
      h("span", { class: "note" }, note),
      i <= rollout.step && start != null && h("span", { class: "soft" }, when(start, now),
        end != null && !(current && rollout.phase === "promoted") && h("span", { class: "for" }, `for ${words.span(end - start)}`)));
  });
}

export function minimum(rollout) {
  const { minimum: least, deadline } = rollout.spec ?? {};
  if (words.isOver(rollout) || !least) return "";
  const then = { pause: "it pauses", roll_back: "it is taken back", proceed: "it goes on" }[deadline?.then];
  return `A step lasts at least ${words.span(least.seconds * 1000)} and ${words.count(least.exposures)} requests in each arm.`
    + (then ? ` Undecided after ${words.span(deadline.seconds * 1000)}, ${then}.` : "");
}
