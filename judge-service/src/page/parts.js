// The parts of the page: each takes what the judge said and returns elements.

import { h, s } from "./dom.js";
import { digit, isDigit, range, timePlot } from "./plot.js";
import * as words from "./words.js";

const LIMITS = { workers: 12, decisions: 60, examples: 24, numbers: 24 };

/** Arms keep their colour: control is grey, the first new version is the accent. */
const armClass = (rollout, name) => {
  const order = words.treatmentsOf(rollout).findIndex((arm) => arm.name === name);
  return order < 0 ? "arm-control" : `arm-${Math.min(order, 3)}`;
};
const armNamed = (rollout, name) => rollout.arms?.find((arm) => arm.name === name) ?? { name };
const swatch = (rollout, name) => h("span", { class: `swatch ${armClass(rollout, name)}`, "aria-hidden": "true" });
const when = (ms, now) => h("time", Number.isFinite(ms) ? { datetime: new Date(ms).toISOString() } : null, words.time(ms, now));
const pill = (kind, text) => h("span", { class: `pill ${kind}` }, text);
const phasePill = (rollout) => pill(`phase-${rollout.phase}`, words.phaseName(rollout.phase));

/** A bar that fills towards the point where something happens. */
function meter(label, value, threshold, text, kind) {
  const part = Number.isFinite(value) && threshold > 0 ? Math.max(0, Math.min(1, value / threshold)) : 0;
  return h("div", {
    class: `meter ${kind}`, role: "meter", "aria-label": label, "aria-valuetext": text,
    "aria-valuemin": 0, "aria-valuemax": 1, "aria-valuenow": part.toFixed(3),
  }, s("svg", { "aria-hidden": "true", width: "100%", height: "100%" },
    s("rect", { class: "full", width: "100%", height: "100%" }),
    s("rect", { class: "part", width: `${(part * 100).toFixed(1)}%`, height: "100%" })));
}

// === the rollouts at a glance ===

export function glance(rollouts, selected) {
  return rollouts.map((rollout) => {
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

// === what is happening, and why ===

export function about(rollout, now) {
  const ended = words.isOver(rollout);
  return [
    phasePill(rollout), " ", h("strong", null, rollout.id), " · ",
    (rollout.arms ?? []).map((arm) => armTitleWithWeight(arm)).join(" · "), " · ",
    ended ? ["since ", when(rollout.phase_since_ms, now)] : `${words.span(now - rollout.created_ms)} old`,
  ];
}
const armTitleWithWeight = (arm) => `${words.armTitle(arm)} ${weightOf(arm)}`;
const weightOf = (arm) => (words.isDropped(arm) ? "dropped" : words.weight(arm.weight));

export function reasons(rollout, decisions) {
  const why = words.reasons(rollout, decisions);
  const notices = (rollout.notices ?? []).map((notice) => h("p", { class: "attention" }, notice));
  if (why.length < 2) return [...notices, ...why.map((reason) => h("p", null, reason))];
  return [...notices, h("ul", null, why.map((reason) => h("li", null, reason)))];
}

// === steps ===

/** When each step was entered; the current one by the judge's own word. */
export function stepTimes(rollout, decisions) {
  const entered = new Map([[0, rollout.created_ms]]);
  for (const d of decisions) {
    if (d.to_step != null && d.to_step !== d.from_step && d.action !== "create") entered.set(d.to_step, d.at_ms);
  }
  entered.set(rollout.step, rollout.step_since_ms ?? entered.get(rollout.step));
  return entered;
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

// === traffic ===

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

/** Where steps began and how it ended, for the time axis of every plot. */
function stepMarks(rollout, decisions) {
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

export function traffic(rollout, series, decisions, now) {
  const arms = rollout.arms ?? [];
  const lines = arms.map((arm) => ({ arm, className: armClass(rollout, arm.name), points: growth(series, arm.name, "exposures", "t").map(({ t, y }) => ({ t, y: y == null ? null : y * 1000 })) }));
  const failing = arms.map((arm) => ({ className: armClass(rollout, arm.name), points: growth(series, arm.name, "errors", "finished", 10) }));
  const live = (arm) => lines.find((line) => line.arm === arm)?.points.at(-1)?.y;
  const counts = (arm) => rollout.traffic?.find((t) => t.arm === arm.name) ?? {};
  const rows = [
    ["Now", (arm) => `${words.rough(live(arm))} req/s`],
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
    (rollout.step ?? 0) > 0 && h("p", { class: "soft" },
      "Totals mix the steps: trouble that hits both arms late falls mostly on the arm that is larger by then. What is compared below keeps steps apart."),
  ];
}

// === delivery, and whether the split is as planned ===

const STATES = ["converged", "lagging", "silent", "refused"];
const STATE_HELP = {
  converged: "have the newest plan", lagging: "still on an older plan",
  silent: "not heard of lately", refused: "would not take the plan",
};

export function delivery(rollout, workers, now) {
  const took = rollout.delivery?.decided_to_last_worker_ms;
  const per = (state) => workers.filter((w) => w.state === state).length;
  const trouble = (w) => (w.state === "converged" ? 1 : 0);
  const shown = workers.toSorted((a, b) => trouble(a) - trouble(b)).slice(0, LIMITS.workers);
  const seen = (ms) => (now - ms < 2000 ? "now" : `${words.span(now - ms)} ago`);
  return [
    h("p", { class: "big" }, h("strong", null, took == null ? "–" : words.span(took)),
      h("span", { class: "soft" }, took == null ? "not at the last worker yet" : "from the decision to the last worker")),
    h("dl", { class: "states" }, STATES.map((state) =>
      h("div", { class: per(state) && state !== "converged" ? "attention" : "", title: STATE_HELP[state] },
        h("dt", null, state), h("dd", null, words.count(per(state)))))),
    shown.length > 0 && h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Workers" },
      h("table", null,
        h("thead", null, h("tr", null, ["Worker", "State", "Plan", "Seen"].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", null, shown.map((w) => h("tr", { "data-key": w.session },
          h("td", { class: "name", title: w.session }, w.node || w.session),
          h("td", { class: w.state === "converged" ? "" : "attention" }, w.state, w.refused && h("span", { class: "why" }, w.refused)),
          h("td", null, w.revision ?? "none"),
          h("td", null, seen(w.last_seen_ms))))))),
    workers.length > shown.length && h("p", { class: "soft" }, `and ${words.count(workers.length - shown.length)} more`),
    srm(rollout.evaluation?.srm),
  ];
}

function srm(check) {
  if (!check) return null;
  const chance = words.odds(check.log_e);
  const limit = words.odds(check.threshold);
  const text = check.alarm
    ? "Users do not arrive as split: the arms cannot be compared, so nothing is promoted. A rollback is still possible."
    : "Users arrive as split.";
  const evidence = `Evidence of a sample ratio mismatch: ${chance ?? "none"}; alarm at ${limit ?? "–"}.`;
  return h("div", { class: "srm" },
    h("p", { class: check.alarm ? "bad" : "" }, text),
    meter("Evidence of a sample ratio mismatch", check.log_e, check.threshold, evidence, check.alarm ? "over" : ""),
    h("p", { class: "soft" }, evidence));
}

// === segments ===

function splitOf(rollout, segment) {
  if (segment.arm) return `all to ${words.armTitle(armNamed(rollout, segment.arm))}`;
  if (!segment.weights) return "taken back";
  return (rollout.arms ?? []).map((arm, index) => `${words.weight(segment.weights[index])} ${words.versionOf(arm)}`).join(", ");
}

function harmIn(rollout, segment) {
  const harmed = (rollout.evaluation?.metrics ?? []).filter((m) => m.segment === segment.name && m.harmed);
  if (harmed.length > 0) return pill("bad", `✕ ${harmed.map((m) => words.metricName(m.metric)).join(", ")}`);
  return segment.arm ? h("span", { class: "soft" }, "not compared") : pill("", "no harm seen");
}

export function segments(rollout) {
  const arms = rollout.arms ?? [];
  const of = (segment, arm) => segment.traffic?.find((t) => t.arm === arm.name) ?? {};
  const cell = (segment, arm) => {
    const counts = of(segment, arm);
    if (segment.arm) return segment.arm === arm.name ? `${words.count(segment.by_rule)} by rule` : "–";
    const errors = `${words.count(counts.errors)} failed (${words.share(counts.errors / counts.finished)})`;
    return counts.finished ? `${words.count(counts.exposures)}, ${errors}` : words.count(counts.exposures);
  };
  return [
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

// === metrics ===

function metricState(metric) {
  if (metric.harmed && metric.within_margin) return pill("warn", "ask a person");
  if (metric.harmed) return pill("bad", "✕ harm");
  if (metric.within_margin) return pill("good", "✓ within margin");
  return pill("", "undecided");
}

const interval = (m) => (m.lower == null && m.upper == null ? "too few events"
  : `${m.lower == null ? "−∞" : words.points(m.lower)} to\u00a0${m.upper == null ? "∞" : words.points(m.upper)}`);

export function metrics(rollout, series, decisions, now) {
  // Segments only roll back, and then the reasons name them.
  const found = (rollout.evaluation?.metrics ?? []).filter((metric) => !metric.segment);
  if (found.length === 0) {
    return [h("p", { class: "soft" }, rollout.warming_up ? "The judge learns control’s latency first." : "Nothing has been measured yet.")];
  }
  const several = words.treatmentsOf(rollout).length > 1;
  const control = words.versionOf(armNamed(rollout, words.controlOf(rollout)));
  const only = several ? "New" : words.versionOf(words.treatmentsOf(rollout)[0]);
  const named = (m) => words.metricName(m.metric) + (several ? ` · ${words.versionOf(armNamed(rollout, m.arm))}` : "");
  return [
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
      : h("p", { class: "plot none" }, "No interval yet: too few events."),
    h("p", { class: "row odds" }, h("span", null, "Evidence of harm: ", h("strong", null, chance ?? "none")),
      h("span", { class: "soft" }, `rolls back at ${limit ?? "–"}`)),
    meter(`${name}: evidence of harm`, m.harm_log_e, m.harm_threshold, harm, m.harmed ? "over" : ""),
    chance && ratio && h("p", null, ratio),
    m.words && h("p", null, m.words),
    m.margin_words && h("p", { class: "soft" }, `Promotion needs: ${m.margin_words}.`.replace("..", ".")));
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

// === where an arm does not answer what its model file answers ===

const label = (value) => (value == null ? "?" : typeof value === "object" ? JSON.stringify(value) : String(value));

export function examples(rollout, found) {
  const checked = (rollout.traffic ?? []).filter((t) => t.sampled_users > 0).map((t) =>
    `${words.versionOf(armNamed(rollout, t.arm))}: ${words.count(t.mismatched_users)} of ${words.count(t.sampled_users)} sampled users got an answer that differs from its model file`);
  return [
    h("p", null, checked.length ? `${checked.join("; ")}.` : "No answers have been compared with a model file yet."),
    found.length > 0 && grid(found.slice(0, LIMITS.examples)),
    found.length > LIMITS.examples && h("details", null,
      h("summary", null, `${words.count(found.length - LIMITS.examples)} more`), grid(found.slice(LIMITS.examples))),
  ];

  function grid(some) {
    return h("ul", { class: "examples" }, some.map((e) => {
      const input = Array.isArray(e.input) ? e.input : [];
      const apart = Number.isFinite(e.largest_difference) ? `largest difference ${e.largest_difference.toPrecision(3)}` : null;
      return h("li", { class: isDigit(input) ? null : "wide", title: apart },
        isDigit(input) ? digit(input, "the input, a picture of 8 by 8") : h("code", { class: "numbers" }, numbers(input)),
        h("span", null, "served ", h("strong", null, label(e.served_label)), ", "),
        h("span", null, "model file says ", h("strong", null, label(e.expected_label))),
        h("span", { class: "soft" }, swatch(rollout, e.arm), words.versionOf(armNamed(rollout, e.arm))));
    }));
  }
}

function numbers(input) {
  const shown = input.slice(0, LIMITS.numbers).map((v) => (Number.isFinite(v) ? String(Number(v.toPrecision(4))) : label(v)));
  return shown.join(" ") + (input.length > shown.length ? ` … (${words.count(input.length)} numbers)` : "");
}

// === decisions ===

const ACTIONS = {
  create: "Created", promote: "Moved on", roll_back: "Taken back", drop: "Dropped", pause: "Paused",
  resume: "Resumed", abort: "Aborted", finish: "Finished", start: "Started", supersede: "Superseded",
};

export function decisions(rollout, made, now) {
  if (made.length === 0) return [h("p", { class: "soft" }, "None yet.")];
  const broken = made.filter((d, i) => i > 0 && d.sequence === made[i - 1].sequence + 1 && d.previous_hash !== made[i - 1].hash);
  const shown = made.toReversed().slice(0, LIMITS.decisions);
  const stepName = (i) => words.stepWeights(rollout.steps?.[i]);
  return [
    broken.length > 0 && h("p", { class: "bad" }, `The chain of evidence is broken at decision ${broken.map((d) => d.sequence).join(", ")}.`),
    h("ol", { class: "decisions" }, shown.map((d) => h("li", { "data-key": String(d.sequence) },
      h("p", { class: "row" },
        h("span", { class: "soft" }, when(d.at_ms, now)),
        h("strong", { class: ["roll_back", "drop"].includes(d.action) ? "bad" : "" }, ACTIONS[d.action] ?? label(d.action).replaceAll("_", " ")),
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
