// What the models answer: how they differ on the same inputs, how answers are distributed,
// what came of pairs and outcomes, and what could not be read.

import { samplingButton } from "./act.js";
import { h } from "./dom.js";
import { digit, isDigit } from "./plot.js";
import { armNamed, label, swatch } from "./shared.js";
import * as words from "./words.js";

const LABELS = 12;
const CHANGES = 6;
const FARTHEST = 12;
const NUMBERS = 24;

/** The whole rollout's; segments have their own in the API. */
const wholeOf = (answers, arm) => (answers.served ?? []).find((served) => served.arm === arm && served.segment == null);
const ofAll = (part, whole) => `${words.count(part)} of ${words.count(whole)}${whole > 0 ? ` (${words.share(part / whole)})` : ""}`;

export function answers(rollout, found, silent, mayDecide) {
  if (!found) return [];
  const treated = words.treatmentsOf(rollout);
  const parts = [
    found.sampling === false && h("p", { class: "attention" }, "Requests and answers are not copied to the judge any more."),
    ...treated.map((arm) => models(rollout, arm, found.models?.[arm.name])),
    distribution(rollout, found),
    later(rollout, found),
    ...(rollout.arms ?? []).map((arm) => unreadable(arm, found.samples?.[arm.name])),
  ].filter(Boolean);
  const copies = mayDecide && samplingButton(rollout, found.sampling, silent);
  return [
    ...(parts.length > 0 ? parts : [h("p", { class: "soft" }, "No answers have been compared yet.")]),
    copies && h("p", { class: "actions" }, copies),
  ];
}

/** One arm's model file beside control's, both asked about the same inputs. */
function models(rollout, arm, seen) {
  if (!seen?.inputs) return null;
  const control = words.versionOf(armNamed(rollout, words.controlOf(rollout)));
  const own = words.versionOf(arm);
  const changes = (seen.confusion ?? []).filter((pair) => pair.control_label !== pair.arm_label).sort((a, b) => b.count - a.count).slice(0, CHANGES);
  const farthest = (seen.farthest ?? []).filter((f) => f.input?.length > 0).slice(0, FARTHEST);
  const shift = Number.isFinite(seen.mean_shift) ? ` Its score is ${words.points(seen.mean_shift)} points from ${control}’s on average.` : "";
  return h("section", { class: "models", "data-key": `models ${arm.name}`, "aria-label": `${own} beside ${control}` },
    h("h3", null, `${own} beside ${control}, on the same inputs`),
    h("p", null, `The models answer ${ofAll(seen.differing, seen.inputs)} inputs otherwise.${shift}`),
    changes.length > 0 && h("p", { class: "soft" }, `Most often: ${changes.map((c) => `${label(c.control_label)} became ${label(c.arm_label)} (${words.count(c.count)})`).join(", ")}.`),
    farthest.length > 0 && h("ul", { class: "examples" }, farthest.map((f) => h("li", { class: isDigit(f.input) ? null : "wide" },
      isDigit(f.input) ? digit(f.input, "the input, a picture of 8 by 8")
        : h("code", { class: "numbers" }, f.input.slice(0, NUMBERS).map((v) => (Number.isFinite(v) ? String(Number(v.toPrecision(4))) : label(v))).join(" ")),
      h("span", null, `${control} says `, h("strong", null, label(f.control_label)), ", "),
      h("span", null, `${own} says `, h("strong", null, label(f.arm_label)))))));
}

/** Users by the label that they were answered, per arm. */
function distribution(rollout, found) {
  const arms = (rollout.arms ?? []).map((arm) => ({ arm, served: wholeOf(found, arm.name) })).filter(({ served }) => served?.labels?.length > 0);
  if (arms.length === 0) return null;
  const all = arms.map(({ served }) => new Map(served.labels.map((l) => [l.label, l.users])));
  const totals = all.map((labels) => [...labels.values()].reduce((sum, users) => sum + users, 0));
  const names = [...new Set(all.flatMap((labels) => [...labels.keys()]))]
    .sort((a, b) => (a == null) - (b == null) || a - b);
  const psi = arms.filter(({ served }) => Number.isFinite(served.psi)).map(({ arm, served }) => `${words.versionOf(arm)} ${served.psi.toFixed(3)}`);
  return h("section", { class: "models", "data-key": "distribution", "aria-label": "Answers served" },
    h("h3", null, "Answers served at this step"),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Answers served, by label" }, h("table", { class: "figures" },
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "Label"), arms.map(({ arm }) => h("th", { scope: "col" }, swatch(rollout, arm.name), words.armTitle(arm))))),
      h("tbody", null, names.slice(0, LABELS).map((name) => h("tr", { "data-key": `label ${name}` },
        h("th", { scope: "row" }, name == null ? "others" : label(name)),
        all.map((labels, i) => h("td", null, totals[i] ? words.share((labels.get(name) ?? 0) / totals[i]) : "–"))))))),
    names.length > LABELS && h("p", { class: "soft" }, `and ${words.count(names.length - LABELS)} labels more`),
    psi.length > 0 && h("p", { class: "soft" }, `Population stability index against control: ${psi.join(", ")}. Over 0.25 counts as a shift; it is no test, and decides nothing.`));
}

const number = (value) => Number(value.toPrecision(4)).toLocaleString("en");

/** Requests that both arms answered, and outcomes that were told later. */
function later(rollout, found) {
  const said = (rollout.arms ?? []).flatMap((arm) => {
    const served = wholeOf(found, arm.name);
    const name = words.versionOf(arm);
    const { pairs, outcomes, values, worth } = served ?? {};
    return [
      pairs?.users > 0 && `${name}: of ${words.count(pairs.users)} users whose request both versions answered, ${words.count(pairs.differing)} got two answers; only ${name} was not as its model file in ${words.count(pairs.only_arm_wrong)}.`,
      outcomes?.users > 0 && `${name}: ${ofAll(outcomes.bad, outcomes.users)} users with an outcome had a wrong answer.`,
      calibration(name, found.calibration?.[arm.name]),
      values?.users > 0 && Number.isFinite(values.mean) && `${name}: ${words.count(values.users)} users with a value, ${number(values.mean)} on average.`,
      worth?.told > values?.users && `${name}: ${words.count(worth.told)} values in all, ${number(worth.total)} together.`,
    ].filter(Boolean);
  });
  said.push(...(rollout.arms ?? []).map((arm) => alone(words.versionOf(arm), found.samples?.[arm.name])).filter(Boolean));
  return said.length > 0 && h("section", { class: "models", "data-key": "later", "aria-label": "Pairs and outcomes" },
    h("h3", null, "Pairs and outcomes"), said.map((text) => h("p", null, text)));
}

/** How well a version knew what it did not know, of outcomes whose probability is known. */
function calibration(name, found) {
  if (!(found?.outcomes > 0) || !Number.isFinite(found.log_loss)) return null;
  const apart = found.bins.reduce((sum, bin) => sum + Math.abs(bin.mean * bin.outcomes - bin.right), 0) / found.outcomes;
  return `${name}: log loss ${found.log_loss.toFixed(4)} over ${words.count(found.outcomes)} outcomes; how sure it was and how often it was right are ${(apart * 100).toFixed(1)} percentage points apart on average.`;
}

/** Why requests were not sent to the other arm as well. */
function alone(name, samples) {
  const causes = Object.entries(samples?.not_paired ?? {}).sort((a, b) => b[1] - a[1]);
  return causes.length > 0 && `${name}: not asked twice: ${causes.map(([cause, count]) => `${cause.replaceAll("_", " ")} (${words.count(count)})`).join(", ")}.`;
}

function unreadable(arm, samples) {
  const causes = Object.entries(samples?.unreadable ?? {}).sort((a, b) => b[1].count - a[1].count);
  const shed = samples?.shed > 0 ? `${words.count(samples.shed)} came faster than the models answer, and were passed over.` : null;
  if (causes.length === 0 && !shed) return null;
  return h("section", { class: "models", "data-key": `unreadable ${arm.name}`, "aria-label": `Not compared: ${words.versionOf(arm)}` },
    h("h3", null, `Not compared: ${words.armTitle(arm)}`),
    shed && h("p", null, shed),
    causes.map(([cause, { count, problem, excerpt }]) => h("div", { "data-key": cause },
      h("p", null, `${words.count(count)} × ${cause.replaceAll("_", " ")}, the last: ${problem}`),
      excerpt && h("code", { class: "numbers" }, excerpt))));
}
