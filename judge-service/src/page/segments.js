// Key splits: their traffic, and evidence of harm in each.

import { h } from "./dom.js";
import { timePlot } from "./plot.js";
import { armNamed, meter, pill, swatch } from "./shared.js";
import { stepMarks } from "./times.js";
import * as words from "./words.js";

function splitOf(rollout, segment) {
  if (segment.arm) return `all to ${words.armTitle(armNamed(rollout, segment.arm))}`;
  if (!segment.weights) return "taken back";
  return (rollout.arms ?? []).map((arm, index) => `${words.weight(segment.weights[index])} ${words.versionOf(arm)}`).join(", ");
}

// Evidence of a segment only ever takes an arm back, so it is shown as how far it has come
// towards that: 0 is none, 1 takes back.
const far = (m) => (m.harm_threshold > 0 && Number.isFinite(m.harm_log_e) ? Math.max(0, m.harm_log_e / m.harm_threshold) : null);
const lineClass = (index) => `segment-${index % 6}`;

function harmIn(rollout, segment) {
  const found = (rollout.evaluation?.metrics ?? []).filter((m) => m.segment === segment.name && far(m) != null).sort((a, b) => far(b) - far(a));
  const harmed = found.filter((m) => m.harmed);
  if (segment.arm) return h("span", { class: "soft" }, "not compared");
  if (harmed.length > 0) return pill("bad", `✕ ${harmed.map((m) => words.metricName(m.metric)).join(", ")}`);
  const worst = found[0];
  if (!worst || far(worst) === 0) return pill("", "no harm seen");
  const odds = words.odds(worst.harm_log_e);
  const text = `${words.metricName(worst.metric)}: ${odds ?? "none"}, takes back at ${words.odds(worst.harm_threshold) ?? "–"}`;
  return h("div", { class: "worst" }, meter(`${segment.name}: evidence of harm`, worst.harm_log_e, worst.harm_threshold, text, ""), h("span", { class: "soft" }, text));
}

/** The strongest evidence of harm in each segment, over time. */
function harmPlot(rollout, series, decisions, now) {
  const compared = (rollout.segments ?? []).filter((segment) => !segment.arm);
  const lines = compared.map((segment, index) => ({
    name: segment.name, className: lineClass(index),
    points: series.map((p) => ({ t: p.at_ms, y: (p.segments ?? []).filter((m) => m.segment === segment.name).reduce((most, m) => Math.max(most ?? 0, far(m) ?? 0), null) })),
  }));
  if (series.length < 3 || !lines.some((line) => line.points.some((p) => p.y != null))) return null;
  const last = (line) => line.points.findLast((p) => p.y != null)?.y ?? 0;
  const said = lines.map((line) => `${line.name} ${Math.round(last(line) * 100)}%`).join(", ");
  return [
    timePlot({
      title: "Evidence of harm in each segment, of what takes the version back", label: `Evidence of harm in each segment, of what takes the version back: ${said}`,
      from: series[0].at_ms, to: series.at(-1).at_ms, low: 0, high: 1.12, rules: [{ y: 1, className: "margin", text: "taken back" }],
      format: (value) => `${Math.round(value * 100)}%`, lines, marks: stepMarks(rollout, decisions), now: (t) => words.time(t, now),
    }),
    h("ul", { class: "legend", "aria-hidden": "true" }, lines.map((line) => h("li", null, h("span", { class: `swatch ${line.className}` }), line.name))),
  ];
}

export function segments(rollout, series, decisions, now) {
  const arms = rollout.arms ?? [];
  const of = (segment, arm) => segment.traffic?.find((t) => t.arm === arm.name) ?? {};
  const cell = (segment, arm) => {
    const counts = of(segment, arm);
    if (segment.arm) return segment.arm === arm.name ? `${words.count(segment.by_rule)} by rule` : "–";
    const errors = `${words.count(counts.errors)} failed (${words.share(counts.errors / counts.finished)})`;
    return counts.finished ? `${words.count(counts.exposures)}, ${errors}` : words.count(counts.exposures);
  };
  return [
    harmPlot(rollout, series, decisions, now),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Segments" }, h("table", { class: "figures" },
      h("caption", { class: "unseen" }, "Requests of each segment, per arm"),
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "Segment"), h("th", { scope: "col" }, "Split"),
        arms.map((arm) => h("th", { scope: "col" }, swatch(rollout, arm.name), words.armTitle(arm))),
        h("th", { scope: "col" }, "In this step"))),
      h("tbody", null, (rollout.segments ?? []).map((segment) => h("tr", { "data-key": segment.name },
        h("th", { scope: "row" }, segment.name), h("td", null, splitOf(rollout, segment)),
        arms.map((arm) => h("td", null, cell(segment, arm))), h("td", null, harmIn(rollout, segment))))))),
    h("p", { class: "soft" }, "A segment that is harmed takes the version back for everybody; none promotes by itself."),
  ];
}
