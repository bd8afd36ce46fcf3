// Shows what the judge tells, and asks it for the details of the rollout that is looked at.

import { allowDeeds, buttons } from "./page/act.js";
import { answers } from "./page/answers.js";
import { decisions } from "./page/decisions.js";
import { delivery, WORKERS } from "./page/delivery.js";
import { fill } from "./page/dom.js";
import { examples } from "./page/examples.js";
import { gates } from "./page/gates.js";
import * as glance from "./page/glance.js";
import { ask, at, clock, listen, Problem } from "./page/judge.js";
import * as login from "./page/login.js";
import { metrics } from "./page/metrics.js";
import { segments } from "./page/segments.js";
import * as story from "./page/story.js";
import { traffic } from "./page/traffic.js";
import { versions } from "./page/versions.js";
import * as words from "./page/words.js";

const EVERY_MS = 1000;
const POINTS = 1800;
const UNREACHABLE = "unreachable";

const $ = (id) => document.getElementById(id);
const nothing = () => ({ series: [], decisions: [], examples: [], answers: null, workers: [], proxies: [], verdict: null });
const state = {
  rollouts: null, // null until the judge has said which there are
  picked: null, // by the address; without one the page follows the newest that runs
  selected: null,
  since: null, // when it was created
  detail: nothing(),
  answered: null, // when the judge last answered, by this browser's clock
  trouble: null,
  all: false, // whether every rollout is shown at a glance
};
/** The judge's time; it stands still while the judge does not answer, as all that is shown does. */
const now = () => (state.trouble === UNREACHABLE ? state.answered ?? Date.now() : Date.now()) + clock.offset;

// === what is known ===

async function pollDetail(id) {
  const last = state.detail.series.at(-1)?.at_ms;
  const paths = {
    series: at(id, "/series") + (last ? `?after_ms=${last}` : ""), decisions: at(id, "/decisions"), examples: at(id, "/examples"),
    answers: at(id, "/answers"), workers: `v1/workers?sort=state&limit=${WORKERS}`, proxies: "v1/proxies",
  };
  if (!hasNewDecisions(id)) delete paths.decisions;
  const names = Object.keys(paths);
  const told = await Promise.allSettled(names.map((name) => ask(paths[name])));
  if (id !== state.selected) return;
  const failed = [];
  told.forEach((answer, i) => {
    if (answer.status === "fulfilled" && typeof answer.value === "object" && answer.value) {
      // A judge that was started anew has no points of before, and the page has.
      const more = names[i] === "series" ? [...state.detail.series, ...answer.value].slice(-POINTS) : answer.value;
      state.detail[names[i]] = more;
    }
    // One that was deleted just now is not shown any longer.
    else if (!(answer.reason instanceof Problem && answer.reason.status === 404)) failed.push(names[i]);
  });
  state.detail.decisions.sort((a, b) => a.sequence - b.sequence);
  await recallVerdict(id);
  if (failed.length) state.trouble = `The judge did not give: ${failed.join(", ")}. What is shown of that may be old.`;
}

/** Or one is not at the last worker yet, as far as is known here. */
function hasNewDecisions(id) {
  const known = state.detail.decisions;
  const made = state.rollouts.find((r) => r.id === id)?.decisions;
  return known.length !== made || known.some((decision) => !decision.delivered);
}

/**
 * A judge that was started anew has not judged what is over: the evidence of its last
 * decision says how it stood. It is asked for once, since it may be long.
 */
async function recallVerdict(id) {
  const rollout = state.rollouts.find((r) => r.id === id);
  const sequence = state.detail.decisions.findLast((d) => d.has_evidence)?.sequence;
  if (!rollout || rollout.evaluation || !words.isOver(rollout) || !sequence || state.detail.verdict?.sequence === sequence) return;
  const sealed = await ask(at(id, `/decisions/${sequence}`)).catch(() => null);
  if (id === state.selected) state.detail.verdict = { sequence, verdict: sealed?.decision?.evidence?.verdict ?? null };
}

/** The address names the rollout (#digits), so that it can be shared; other fragments (#main) change nothing. */
function select() {
  let wanted = location.hash.slice(1);
  try {
    wanted = decodeURIComponent(wanted);
  } catch {
    // a hand-made address that is no rollout's
  }
  const named = (id) => state.rollouts.find((r) => r.id === id);
  if (named(wanted)) state.picked = wanted;
  const found = named(state.picked) ?? state.rollouts[0];
  // One that was deleted and made again is another.
  if (found?.id === state.selected && found?.created_ms === state.since) return;
  state.selected = found?.id ?? null;
  state.since = found?.created_ms;
  state.detail = { ...nothing(), workers: state.detail.workers, proxies: state.detail.proxies };
}

/** The rollout that is shown, with the last thing that was decided. */
function current() {
  const rollout = state.rollouts?.find((r) => r.id === state.selected);
  if (!rollout) return rollout;
  const { verdict, decisions: made } = state.detail;
  const judged = rollout.evaluation || !verdict ? {} : { evaluation: verdict.verdict, judgedBy: verdict.sequence };
  return { ...rollout, ...judged, last: made.at(-1) };
}

const without = (id) => (state.rollouts ?? []).filter((r) => r.id !== id);
function know(rollouts) {
  state.rollouts = rollouts.toSorted(glance.order);
  show();
}
const hear = {
  listed: ({ ids }) => know((state.rollouts ?? []).filter((r) => ids.includes(r.id))),
  rollout: (rollout) => know([...without(rollout.id), rollout]),
  deleted: ({ id }) => know(without(id)),
  decision: ({ rollout, decision }) => {
    // What happens to the one that is shown is said with its headline.
    if (rollout !== state.selected) showText("announce-others", `${rollout}: ${words.actionName(decision.action)}. ${decision.reasons?.[0] ?? ""}`);
    show();
  },
  broken: () => {
    // An error may be that nobody knows who looks.
    login.letIn().catch(() => true);
    show();
  },
};

// One at a time, and the next a second after the last. A judge that is silent is asked all
// the same, since a connection does not show that nobody is at its other end.
let timer = null;
let busy = false;
async function show() {
  clearTimeout(timer);
  if (document.hidden || busy) return;
  busy = true;
  try {
    await refresh();
  } catch (error) {
    console.error("could not show what the judge says", error);
  }
  busy = false;
  timer = setTimeout(show, EVERY_MS);
}

async function refresh() {
  try {
    await ask("health/ready");
    state.answered = Date.now();
    state.trouble = null;
    if (state.rollouts) select();
    if (state.selected) await pollDetail(state.selected);
  } catch (error) {
    state.trouble = error instanceof Problem ? `The judge answers with an error: ${error.message}` : UNREACHABLE;
  }
  render();
}

async function look() {
  // Nobody is asked for a token where none is needed.
  if (!document.hidden && !(await login.letIn().catch(() => true))) return;
  listen(hear);
  show();
}
login.onChange(look);
document.addEventListener("visibilitychange", look);
addEventListener("hashchange", () => {
  if (!state.rollouts) return;
  select();
  render();
  show();
});

// === showing ===

const safely = (id, make) => {
  try {
    fill($(id), make());
  } catch (error) {
    console.error(`could not show ${id}`, error);
  }
};

function showText(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

function render() {
  const rollout = current();
  const silent = state.trouble === UNREACHABLE;
  renderTrouble(silent);
  renderGlance();
  $("empty").hidden = state.rollouts?.length !== 0;
  $("rollout").hidden = !rollout;
  document.title = rollout ? `${rollout.id}: ${words.phaseName(rollout.phase).toLowerCase()} · Serinus` : "Serinus";
  if (rollout) renderRollout(rollout, silent);
}

function renderTrouble(silent) {
  const since = state.answered ? `Last answer ${words.span(Date.now() - state.answered)} ago; what stands below is from then.` : "";
  showText("notice", silent ? "The judge does not answer; Envoy goes on routing by the last plan." : state.trouble ?? "");
  $("notice").hidden = !state.trouble;
  showText("link", silent ? (since || "no answer yet") : state.answered ? "live" : "connecting");
  $("link").className = silent ? "link lost" : "link";
  document.body.classList.toggle("stale", silent && state.answered != null);
}

function renderGlance() {
  const rollouts = state.rollouts ?? [];
  const crowd = glance.isCrowd(rollouts);
  $("finder").hidden = !crowd;
  $("rollouts").hidden = rollouts.length === 0;
  const wanted = crowd ? $("find").value : "";
  const shown = glance.choose(rollouts, state.selected, wanted, state.all);
  showText("summary", crowd ? glance.summary(rollouts, shown) : "");
  showText("all", state.all ? "Show fewer" : "Show all");
  $("all").setAttribute("aria-expanded", String(state.all));
  safely("rollouts", () => glance.cards(shown, state.selected));
}

function renderRollout(rollout, silent) {
  const { series, decisions: made, examples: found, workers, proxies } = state.detail;
  const reach = words.reach(rollout);
  const sentence = words.headline(rollout);
  safely("about", () => story.about(rollout, now()));
  showText("headline", sentence);
  safely("reasons", () => story.reasons(rollout, made));
  showText("reach", reach?.text ?? "");
  $("reach").className = reach?.good ? "reach" : "reach attention";
  // A screen reader hears changes of state and why, not numbers that move each second.
  const decided = ["create", undefined].includes(rollout.last?.action) ? "" : ` ${words.actionName(rollout.last.action)}: ${rollout.last.reasons?.[0] ?? ""}`;
  showText("announce", silent ? "" : `${rollout.id}: ${sentence}${decided}`);
  const choices = login.mayDecide() ? buttons(rollout, silent) : [];
  $("actions").hidden = choices.length === 0;
  safely("actions", () => choices);

  safely("steps", () => story.steps(rollout, made, now()));
  showText("minimum", story.minimum(rollout));
  safely("traffic", () => traffic(rollout, series, made, now()));
  safely("delivery", () => delivery(rollout, workers, proxies, now()));
  safely("metrics", () => metrics(rollout, series, made, now()));
  $("gates-panel").hidden = !rollout.gates?.length;
  safely("gates", () => gates(rollout));
  $("segments-panel").hidden = !rollout.segments?.length;
  safely("segments", () => segments(rollout, series, made, now()));
  safely("examples", () => examples(rollout, found));
  safely("answers", () => answers(rollout, state.detail.answers, silent, login.mayDecide()));
  safely("decisions", () => decisions(rollout, made, now()));
  safely("versions", () => versions(rollout));
  showText("spec", JSON.stringify(rollout.spec ?? {}, null, 2));
}

// === starting ===

$("find").addEventListener("input", renderGlance);
$("all").addEventListener("click", () => {
  state.all = !state.all;
  renderGlance();
});
allowDeeds(current, show);
showText("example", `curl ${location.origin}/v1/rollouts \\
  -H 'content-type: application/json' -d '{
  "id": "digits",
  "match": {"path_prefix": "/v2/models/digits/"},
  "unit": [{"header": "x-user-id"}],
  "arms": [
    {"name": "control", "version": "v1", "model": "digits-v1.json"},
    {"name": "canary", "version": "v2", "model": "digits-v2.json"}
  ]
}'`);
look();
