// Traffic per arm.

import { h } from "./dom.js";
import { timePlot } from "./plot.js";
import { armClass, swatch, weightOf } from "./shared.js";
import { stepMarks } from "./times.js";
import * as words from "./words.js";

/**
 * How fast one cumulative count of an arm grows, in units of another (milliseconds
 * for "t"), over about three seconds: one second alone is noise, and so is a share
 * of fewer than `least`.
 */
function growth(series, arm, of, per, least = 1) {
  const totals = series.map((p) => ({ t: p.at_ms, ...p.traffic?.find((a) => a.arm === arm) })).filter((p) => Number.isFinite(p[of]));
  const points = [];
  let back = 0;
  for (let i = 1; i < totals.length; i++) {
    while (back < i - 1 && totals[back + 1].t <= totals[i].t - 2500) back++;
    const [first, last] = [totals[back], totals[i]];
    const base = last[per] - first[per];
    points.push({ t: last.t, y: base >= least ? Math.max(0, last[of] - first[of]) / base : null });
  }
  return points;
}

export function traffic(rollout, series, decisions, now) {
  const arms = rollout.arms ?? [];
  const lines = arms.map((arm) => ({ arm, className: armClass(rollout, arm.name), points: growth(series, arm.name, "exposures", "t").map(({ t, y }) => ({ t, y: y == null ? null : y * 1000 })) }));
  const failing = arms.map((arm) => ({ className: armClass(rollout, arm.name), points: growth(series, arm.name, "errors", "finished", 10) }));
  const live = (arm) => lines.find((line) => line.arm === arm)?.points.at(-1)?.y;
  const counts = (arm) => rollout.traffic?.find((t) => t.arm === arm.name) ?? {};
  const rows = [
    ...(arms.some((arm) => Number.isFinite(live(arm))) ? [["Now", (arm) => `${words.rough(live(arm))} req/s`]] : []),
    ["Weight", weightOf],
    ["Requests", (arm) => words.count(counts(arm).exposures)],
    ...(words.drawsEachRequest(rollout) ? [] : [["Users", (arm) => words.count(counts(arm).new_users)]]),
    ["Servers", (arm) => (arm.scale_down?.safe ? "may go" : "needed")],
    ["Errors", (arm) => `${words.count(counts(arm).errors)} (${words.share(counts(arm).errors / counts(arm).finished)})`],
    ["p50", (arm) => words.micros(counts(arm).p50_us)],
    ["p95", (arm) => words.micros(counts(arm).p95_us)],
    ["p99", (arm) => words.micros(counts(arm).p99_us)],
    ["Clients gone", (arm) => words.count(counts(arm).disconnects)],
    ["Envoy’s own replies", (arm) => words.count(counts(arm).local_replies)],
  ];
  const most = (plotted) => plotted.reduce((top, line) => line.points.reduce((m, p) => Math.max(m, p.y ?? 0), top), 0);
  const from = series[0]?.at_ms;
  const to = series.at(-1)?.at_ms;
  return [
    series.length > 2 && timePlot({
      label: `Requests a second: ${arms.map((arm) => `${words.versionOf(arm)} ${words.rough(live(arm))}`).join(", ")}`,
      from, to, low: 0, high: Math.max(1, most(lines)) * 1.16, title: "Requests a second",
      format: (value) => words.rough(value), lines, marks: stepMarks(rollout, decisions), now: (t) => words.time(t, now),
    }),
    series.length > 2 && timePlot({
      label: "Share of failed requests over time, per arm", title: "Failed, of each arm’s requests",
      from, to, low: 0, high: Math.max(0.01, most(failing)) * 1.16,
      format: (value) => `${words.rough(value * 100)}%`, lines: failing, marks: stepMarks(rollout, decisions), now: (t) => words.time(t, now),
    }),
    h("table", { class: "figures" },
      h("caption", { class: "unseen" }, "Traffic of the whole rollout, per arm"),
      h("thead", null, h("tr", null, h("td"), arms.map((arm) =>
        h("th", { scope: "col" }, swatch(rollout, arm.name), words.armTitle(arm))))),
      h("tbody", null, rows.map(([name, value]) =>
        h("tr", null, h("th", { scope: "row" }, name), arms.map((arm) => h("td", null, value(arm))))))),
    notRandomised(rollout),
    (rollout.step ?? 0) > 0 && h("p", { class: "soft" },
      "Totals mix the steps: trouble that hits both arms late falls mostly on the arm that is larger by then. What is compared below keeps steps apart."),
  ];
}

// Why a request had an arm without a draw.
const CAUSES = {
  rule: "by a segment’s rule", no_unit: "without a user’s key", new_cookie: "from users whose key was made just then",
  override: "by a tester’s token", holdout: "held out of every rollout", layer: "of another rollout of the layer",
  breaker: "taken back by a worker’s breaker", body: "whose body could not be read", stale: "while the judge was out of reach",
  outside: "in no range of the split",
};

function notRandomised(rollout) {
  const causes = Object.entries(rollout.fallbacks ?? {}).filter(([, count]) => count > 0).sort((a, b) => b[1] - a[1]);
  if (causes.length === 0) return null;
  const said = causes.map(([cause, count]) => `${words.count(count)} ${CAUSES[cause] ?? cause.replaceAll("_", " ")}`);
  return h("p", { class: "soft" }, `Not in any comparison, since no draw placed them: ${said.join(", ")}.`);
}
