// What must be so besides the evidence before a step ends.

import { h } from "./dom.js";

const KINDS = { ask: "is asked", windows: "times of the week", query: "a number of Prometheus" };

export function gates(rollout) {
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Gates" }, h("table", null,
    h("thead", null, h("tr", null, ["Gate", "What it is", "Now"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", null, (rollout.gates ?? []).map((gate) => h("tr", { "data-key": gate.name },
      h("th", { scope: "row", class: "name" }, gate.name),
      h("td", null, KINDS[gate.kind] ?? gate.kind),
      h("td", { class: gate.open ? "" : "attention" }, gate.open ? "open" : "closed", gate.why && h("span", { class: "why" }, gate.why)))))));
}
