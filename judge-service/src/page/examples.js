// Where an arm does not answer what its model file answers.

import { h } from "./dom.js";
import { digit, isDigit } from "./plot.js";
import { armNamed, label, swatch } from "./shared.js";
import * as words from "./words.js";

const EXAMPLES = 24;
const NUMBERS = 24;

export function examples(rollout, found) {
  const checked = (rollout.traffic ?? []).filter((t) => t.sampled_users > 0).map((t) =>
    `${words.versionOf(armNamed(rollout, t.arm))}: ${words.count(t.mismatched_users)} of ${words.count(t.sampled_users)} sampled users got an answer that differs from its model file`);
  return [
    h("p", null, checked.length ? `${checked.join("; ")}.` : "No answers have been compared with a model file yet."),
    found.length > 0 && grid(found.slice(0, EXAMPLES)),
    found.length > EXAMPLES && h("details", null,
      h("summary", null, `${words.count(found.length - EXAMPLES)} more`), grid(found.slice(EXAMPLES))),
  ];

  function grid(some) {
    return h("ul", { class: "examples" }, some.map((e) => {
      const input = Array.isArray(e.input) ? e.input : [];
      const apart = Number.isFinite(e.largest_difference) ? `largest difference ${e.largest_difference.toPrecision(3)}` : null;
      return h("li", { class: isDigit(input) ? null : "wide", title: apart },
        isDigit(input) ? digit(input, "the input, a picture of 8 by 8") : h("code", { class: "numbers" }, numbers(input)),
        h("span", null, "served ", h("strong", null, label(e.served_label)), ", "),
        h("span", null, "model file says ", h("strong", null, label(e.expected_label))),
        e.other && h("span", null, ", ", e.other.arm, "'s server said ", h("strong", null, label(e.other.label)), " to the same request"),
        h("span", { class: "soft" }, swatch(rollout, e.arm), words.versionOf(armNamed(rollout, e.arm))));
    }));
  }
}

function numbers(input) {
  const shown = input.slice(0, NUMBERS).map((v) => (Number.isFinite(v) ? String(Number(v.toPrecision(4))) : label(v)));
  return shown.join(" ") + (input.length > shown.length ? ` … (${words.count(input.length)} numbers)` : "");
}
