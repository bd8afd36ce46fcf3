// The rollouts at a glance: those that run first, and a way to find one of hundreds.

import { h } from "./dom.js";
import { phasePill, weightOf } from "./shared.js";
import * as words from "./words.js";

const SHOWN = 8;
const SHOWN_ON_A_PHONE = 3;
const phone = matchMedia("(max-width: 760px)");
/** With fewer there is nothing to look for. */
export const isCrowd = (rollouts) => rollouts.length > most();
const most = () => (phone.matches ? SHOWN_ON_A_PHONE : SHOWN);

/** Those that wait for a person first, then those that run, then the newest. */
const rank = (rollout) => (words.isOver(rollout) ? 2 : rollout.phase === "paused" ? 0 : 1);
export const order = (a, b) => rank(a) - rank(b) || b.created_ms - a.created_ms;

function matches(rollout, wanted) {
  const said = [rollout.id, words.phaseName(rollout.phase), words.verdict(rollout), ...(rollout.arms ?? []).flatMap((arm) => [arm.name, arm.version ?? ""])];
  return wanted.toLowerCase().split(/\s+/).every((word) => said.some((text) => text.toLowerCase().includes(word)));
}

/** Which of them to show. */
export function choose(rollouts, selected, wanted, all) {
  const found = wanted.trim() ? rollouts.filter((rollout) => matches(rollout, wanted.trim())) : rollouts;
  if (all || wanted.trim()) return found;
  const first = found.slice(0, most());
  const own = found.find((rollout) => rollout.id === selected);
  return !own || first.includes(own) ? first : [...first.slice(0, -1), own];
}

/** "256 rollouts: 3 running, 253 rolled back" */
export function summary(rollouts, shown) {
  const phases = new Map();
  for (const { phase } of rollouts) phases.set(phase, (phases.get(phase) ?? 0) + 1);
  const kinds = Object.keys(words.PHASES).filter((phase) => phases.has(phase))
    .map((phase) => `${words.count(phases.get(phase))} ${words.phaseName(phase).toLowerCase()}`);
  return `${words.count(rollouts.length)} rollouts: ${kinds.join(", ")}. ${words.count(shown.length)} shown.`;
}

export function cards(shown, selected) {
  return shown.map((rollout) => {
    const treated = words.treatmentsOf(rollout);
    const steps = rollout.steps?.length ?? 0;
    return h("a", {
      class: "card", href: `#${encodeURIComponent(rollout.id)}`, "data-key": rollout.id,
      "aria-current": rollout.id === selected ? "true" : null,
    },
    h("span", { class: "row" }, h("strong", null, rollout.id), phasePill(rollout)),
    h("span", { class: "row soft" },
      h("span", null, treated.map((arm) => `${words.versionOf(arm)} ${weightOf(arm)}`).join(", ")),
      h("span", null, steps ? `step ${(rollout.step ?? 0) + 1} of ${steps}` : ""),
      h("span", null, words.verdict(rollout))));
  });
}
