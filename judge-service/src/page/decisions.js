// Decisions with their reasons, and the evidence of each.

import { h } from "./dom.js";
import { label, when } from "./shared.js";
import * as words from "./words.js";

const DECISIONS = 60;

export function decisions(rollout, made, now) {
  if (made.length === 0) return [h("p", { class: "soft" }, "None yet.")];
  const broken = made.filter((d, i) => i > 0 && d.sequence === made[i - 1].sequence + 1 && d.previous_hash !== made[i - 1].hash);
  const shown = made.toReversed().slice(0, DECISIONS);
  const stepName = (i) => words.stepWeights(rollout.steps?.[i]);
  return [
    broken.length > 0 && h("p", { class: "bad" }, `The chain of evidence is broken at decision ${broken.map((d) => d.sequence).join(", ")}.`),
    h("ol", { class: "decisions" }, shown.map((d) => h("li", { "data-key": String(d.sequence) },
      h("p", { class: "row" },
        h("span", { class: "soft" }, when(d.at_ms, now)),
        h("strong", { class: ["roll_back", "drop"].includes(d.action) ? "bad" : "" }, words.actionName(d.action)),
        d.drops?.length > 0 && h("span", null, d.drops.join(", ")),
        d.from_step != null && d.to_step != null && d.from_step !== d.to_step && h("span", null, `${stepName(d.from_step)} → ${stepName(d.to_step)}`),
        h("span", { class: "soft" }, `by ${d.by === "judge" ? "the judge" : d.by === "person" ? "a person" : label(d.by)}`),
        d.delivered?.last_worker_ms != null && h("span", { class: "soft" }, words.delivered(d.delivered))),
      (d.reasons ?? []).filter(Boolean).map((reason) => h("p", null, reason)),
      h("p", { class: "soft row" },
        d.by === "judge" && h("a", {
          href: `v1/rollouts/${encodeURIComponent(rollout.id)}/decisions/${encodeURIComponent(d.sequence)}`,
          download: `${rollout.id}-decision-${d.sequence}.json`,
        }, `evidence of decision ${d.sequence}`),
        d.hash && h("code", { title: `${d.hash}, after ${d.previous_hash ?? "nothing"}` }, String(d.hash).slice(0, 12)))))),
    made.length > shown.length && h("p", { class: "soft" }, `${words.count(made.length - shown.length)} older ones are at /v1/rollouts/${rollout.id}/decisions.`),
    h("p", { class: "soft" }, "Save a decision’s evidence and run ", h("code", null, "serinus replay FILE"), " to get its verdict again."),
  ];
}
