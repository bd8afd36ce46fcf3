// Each metric: rates, confidence sequence and evidence of harm.

import { h } from "./dom.js";
import { range, timePlot } from "./plot.js";
import { armClass, armNamed, meter, pill } from "./shared.js";
import { stepMarks } from "./times.js";
import * as words from "./words.js";

function metricState(metric) {
  if (metric.harmed && metric.within_margin) return pill("warn", "ask a person");
  if (metric.harmed) return pill("bad", "✕ harm");
  if (metric.within_margin) return pill("good", "✓ within margin");
  if (metric.within_margin == null) return pill("", "no harm seen");
  return pill("", "undecided");
}

const interval = (m) => (m.lower == null && m.upper == null ? "too few events"
  : `${m.lower == null ? "−∞" : words.points(m.lower)} to\u00a0${m.upper == null ? "∞" : words.points(m.upper)}`);

export function metrics(rollout, series, decisions, now) {
  // Segments only roll back, and stand by themselves.
  const found = (rollout.evaluation?.metrics ?? []).filter((metric) => !metric.segment);
  if (found.length === 0) {
    return [h("p", { class: "soft" }, rollout.warming_up ? "The judge learns control’s latency first." : "Nothing has been measured yet.")];
  }
  const several = words.treatmentsOf(rollout).length > 1;
  const control = words.versionOf(armNamed(rollout, words.controlOf(rollout)));
  const only = several ? "New" : words.versionOf(words.treatmentsOf(rollout)[0]);
  const named = (m) => words.metricName(m.metric) + (several ? ` · ${words.versionOf(armNamed(rollout, m.arm))}` : "");
  return [
    rollout.judgedBy && h("p", { class: "soft" }, `As it was judged for decision ${rollout.judgedBy}; the judge has been started anew since.`),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Metrics" }, h("table", { class: "figures metrics" },
      h("caption", { class: "unseen" }, "Rates of control and of the new version, and the difference with its confidence sequence in percentage points"),
      h("thead", null, h("tr", null,
        h("th", { scope: "col" }, "Metric"), h("th", { scope: "col" }, control), h("th", { scope: "col" }, only),
        h("th", { scope: "col" }, "Difference, pp"), h("th", { scope: "col" }, "Interval, pp"), h("th", { scope: "col", class: "wide-only" }, "Verdict"))),
      h("tbody", null, found.map((m) => h("tr", { "data-key": `${m.metric} ${m.arm}` },
        h("th", { scope: "row", title: words.metricHelp(m.metric) }, named(m)),
        h("td", null, words.share(m.control_rate)), h("td", null, words.share(m.arm_rate)),
        h("td", null, words.points(m.difference)),
        h("td", null, interval(m)),
        h("td", { class: "wide-only" }, metricState(m))))))),
    h("p", { class: "soft" },
      "Intervals hold at every look. Evidence of harm is said as odds: if the new version were no worse than tolerated, "
      + "evidence this strong would come up at most once in so many rollouts."),
    h("div", { class: "cards" }, found.map((m) => metricCard(rollout, m, named(m), series, decisions, now))),
  ];
}

function metricCard(rollout, m, name, series, decisions, now) {
  const points = series.map((p) => ({ t: p.at_ms, ...p.metrics?.find((x) => x.metric === m.metric && x.arm === m.arm) }))
    .map(({ t, difference, lower, upper }) => ({ t, y: difference ?? null, lower: lower ?? null, upper: upper ?? null }));
  const first = points.find((p) => p.y != null);
  const chance = words.odds(m.harm_log_e);
  const limit = words.odds(m.harm_threshold);
  const harm = `${chance ?? "none so far"} · rolls back at ${limit ?? "–"}`;
  const ratio = Number.isFinite(m.harm_ratio) ? `Looks most like ${m.harm_ratio.toFixed(1)} × control’s rate.` : "";
  return h("section", { class: `metric${m.harmed ? " harmed" : ""}`, "data-key": `${m.metric} ${m.arm}`, "aria-label": name },
    h("h3", null, name, " ", metricState(m)),
    h("p", { class: "soft" }, words.metricHelp(m.metric)),
    first ? metricPlot(rollout, m, name, points.filter((p) => p.t >= first.t), decisions, now)
      : h("p", { class: "plot none" }, rollout.judgedBy ? "How it came to that is not kept over a restart." : "No interval yet: too few events."),
    // Not every metric rolls back.
    m.harm_threshold != null && [
      h("p", { class: "row odds" }, h("span", null, "Evidence of harm: ", h("strong", null, chance ?? "none")),
        h("span", { class: "soft" }, `rolls back at ${limit ?? "–"}`)),
      meter(`${name}: evidence of harm`, m.harm_log_e, m.harm_threshold, harm, m.harmed ? "over" : ""),
    ],
    chance && ratio && h("p", null, ratio),
    m.words && h("p", null, m.words),
    m.margin_words && h("p", { class: "soft" }, `${m.within_margin == null ? "Tolerated" : "Promotion needs"}: ${m.margin_words}.`.replace("..", ".")));
}

function metricPlot(rollout, m, name, points, decisions, now) {
  const from = points[0].t;
  const to = points.at(-1).t;
  const rules = [{ y: 0, className: "zero" }];
  if (Number.isFinite(m.margin)) rules.push({ y: m.margin, className: "margin", text: "margin" });
  const [low, high] = range(points, rules.map((rule) => rule.y), from, to);
  return timePlot({
    label: `${name}, difference to control over time: now ${words.points(m.difference)} percentage points, interval ${interval(m)}`,
    from, to, low, high, rules, marks: stepMarks(rollout, decisions), now: (t) => words.time(t, now),
    format: (value, step) => (value === 0 ? "0" : `${words.points(value, Math.max(0, Math.min(4, -Math.floor(Math.log10(step * 100) + 1e-9))))} pp`),
    bands: [{ className: armClass(rollout, m.arm), points }],
    lines: [{ className: armClass(rollout, m.arm), points }],
  });
}
