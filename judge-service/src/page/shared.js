// What several parts of the page are made of.

import { h, s } from "./dom.js";
import * as words from "./words.js";

/** Arms keep their colour: control is grey, the first new version is the accent. */
export const armClass = (rollout, name) => {
  const order = words.treatmentsOf(rollout).findIndex((arm) => arm.name === name);
  return order < 0 ? "arm-control" : `arm-${Math.min(order, 3)}`;
};
export const armNamed = (rollout, name) => rollout.arms?.find((arm) => arm.name === name) ?? { name };
export const swatch = (rollout, name) => h("span", { class: `swatch ${armClass(rollout, name)}`, "aria-hidden": "true" });
export const when = (ms, now) => h("time", Number.isFinite(ms) ? { datetime: new Date(ms).toISOString() } : null, words.time(ms, now));
export const pill = (kind, text) => h("span", { class: `pill ${kind}` }, text);
export const phasePill = (rollout) => pill(`phase-${rollout.phase}`, words.phaseName(rollout.phase));

/** A bar that fills towards the point where something happens. */
export function meter(label, value, threshold, text, kind) {
  const part = Number.isFinite(value) && threshold > 0 ? Math.max(0, Math.min(1, value / threshold)) : 0;
  return h("div", {
    class: `meter ${kind}`, role: "meter", "aria-label": label, "aria-valuetext": text,
    "aria-valuemin": 0, "aria-valuemax": 1, "aria-valuenow": part.toFixed(3),
  }, s("svg", { "aria-hidden": "true", width: "100%", height: "100%" },
    s("rect", { class: "full", width: "100%", height: "100%" }),
    s("rect", { class: "part", width: `${(part * 100).toFixed(1)}%`, height: "100%" })));
}

export const weightOf = (arm) => (words.isDropped(arm) ? "dropped" : words.weight(arm.weight));
export const label = (value) => (value == null ? "?" : typeof value === "object" ? JSON.stringify(value) : String(value));
