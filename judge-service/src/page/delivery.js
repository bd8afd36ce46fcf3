// How far the plan has come, and whether users arrive as it splits them.

import { h } from "./dom.js";
import { meter } from "./shared.js";
import * as words from "./words.js";

/** So many are shown. */
export const WORKERS = 12;

const STATES = ["converged", "lagging", "silent", "refused"];
const STATE_HELP = {
  converged: "have the newest plan", lagging: "still on an older plan",
  silent: "not heard of lately", refused: "would not take the plan",
};

export function delivery(rollout, workers, proxies, now) {
  const took = rollout.last?.delivered?.last_worker_ms;
  const per = counts(rollout.delivery, workers);
  const seen = (ms) => (now - ms < 2000 ? "now" : `${words.span(now - ms)} ago`);
  return [
    h("p", { class: "big" }, h("strong", null, took == null ? "–" : words.span(took)),
      h("span", { class: "soft" }, took == null ? "the last decision is not at the last worker yet" : "from the last decision to the last worker")),
    h("dl", { class: "states" }, STATES.map((state) =>
      h("div", { class: per[state] && state !== "converged" ? "attention" : "", title: STATE_HELP[state] },
        h("dt", null, state), h("dd", null, words.count(per[state]))))),
    workers.length > 0 && h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Workers" },
      h("table", null,
        h("thead", null, h("tr", null, ["Worker", "State", "Plan", "Seen"].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", null, workers.map((w) => h("tr", { "data-key": w.session },
          h("td", { class: "name", title: w.session }, w.node || w.session),
          h("td", { class: w.state === "converged" ? "" : "attention" }, w.state, w.refused && h("span", { class: "why" }, w.refused)),
          h("td", null, w.revision ?? "none"),
          h("td", null, seen(w.last_seen_ms))))))),
    per.idle > 0 && h("p", { class: "soft" }, `${words.count(per.idle)} of them had no traffic yet.`),
    per.all > workers.length && h("p", { class: "soft" }, `and ${words.count(per.all - workers.length)} more`),
    byEcds(proxies, seen),
    srm(rollout.evaluation?.srm),
  ];
}

/** Workers that serve traffic by their state, and proxies whose filter never came to be. */
function counts({ workers: serving = 0, converged = 0, refused = 0, silent = 0, idle = 0 } = {}, workers = []) {
  const refusing = Math.max(refused, workers.filter((w) => w.state === "refused").length);
  return { converged, lagging: serving - converged - refused, silent, refused: refusing, idle, all: serving + silent + idle };
}

/** Envoys that get their plan as xDS configuration, and what they said of it. */
function byEcds(proxies, seen) {
  if (proxies.length === 0) return null;
  const shown = proxies.toSorted((a, b) => (b.refused != null) - (a.refused != null)).slice(0, WORKERS);
  return h("details", null,
    h("summary", null, `Envoys by ECDS: ${words.count(proxies.length)}, of which ${words.count(proxies.filter((p) => p.refused != null).length)} refuse`),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Envoys by ECDS" }, h("table", null,
      h("thead", null, h("tr", null, ["Envoy", "Took", "Refused", "Seen"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", null, shown.map((p) => h("tr", { "data-key": p.node },
        h("td", { class: "name" }, p.node), h("td", null, p.accepted ?? "none"),
        h("td", { class: p.refused ? "attention" : "" }, p.refused ?? "–", p.why && h("span", { class: "why" }, p.why)),
        h("td", null, p.connected ? "connected" : seen(p.last_seen_ms))))))));
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
