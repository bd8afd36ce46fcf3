// Shows what the judge tells, and asks it for the details of the rollout that is looked at.

import { fill } from "./page/dom.js";
import * as login from "./page/login.js";
import * as parts from "./page/parts.js";
import * as words from "./page/words.js";

const EVERY_MS = 1000;
const PATIENCE_MS = 5000;
const AGAIN_MS = 2000;
const POINTS = 1800;
const UNREACHABLE = "unreachable";

const $ = (id) => document.getElementById(id);
const state = {
  rollouts: null, // null until the judge has said which there are
  picked: null, // by the address; without one the page follows the newest that runs
  selected: null,
  since: null, // when it was created
  detail: { series: [], decisions: [], examples: [], workers: [] },
  answered: null, // when the judge last answered, by this browser's clock
  trouble: null,
  offset: 0, // the judge's clock less this browser's
};
/** The judge's time; it stands still while the judge does not answer, as all that is shown does. */
const now = () => (state.trouble === UNREACHABLE ? state.answered ?? Date.now() : Date.now()) + state.offset;

// === asking ===

class Problem extends Error {}

/** Anything without the judge's own header comes from something in between: the judge did not answer. */
async function ask(path, options = {}) {
  const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS), ...options });
  if (!response.headers.has("x-serinus-judge")) throw new Error("not the judge");
  const date = Date.parse(response.headers.get("date"));
  // The header has whole seconds and took its time: below two seconds the clocks count as equal.
  if (Number.isFinite(date)) state.offset = Math.abs(date - Date.now()) > 2000 ? date - Date.now() : 0;
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Problem(body?.detail ?? body?.title ?? `status ${response.status}`);
  return body;
}

const at = (id, rest = "") => `v1/rollouts/${encodeURIComponent(id)}${rest}`;

/** Running ones first, then the newest. */
const order = (a, b) => words.isOver(a) - words.isOver(b) || b.created_ms - a.created_ms;

async function pollDetail(id) {
  const last = state.detail.series.at(-1)?.at_ms;
  const paths = { series: at(id, "/series") + (last ? `?after_ms=${last}` : ""), decisions: at(id, "/decisions"), examples: at(id, "/examples"), workers: "v1/workers" };
  const names = Object.keys(paths);
  const answers = await Promise.allSettled(names.map((name) => ask(paths[name])));
  if (id !== state.selected) return;
  const failed = [];
  answers.forEach((answer, i) => {
    if (answer.status === "fulfilled" && Array.isArray(answer.value)) {
      // A judge that was started anew has no points of before, and the page has.
      const more = names[i] === "series" ? [...state.detail.series, ...answer.value].slice(-POINTS) : answer.value;
      state.detail[names[i]] = more;
    }
    else failed.push(names[i]);
  });
  state.detail.decisions.sort((a, b) => a.sequence - b.sequence);
  if (failed.length) state.trouble = `The judge did not give: ${failed.join(", ")}. What is shown of that may be old.`;
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
  state.detail = { series: [], decisions: [], examples: [], workers: state.detail.workers };
}

// === being told ===

// The judge tells at once how every rollout stands, and then what changes; the connection
// is made anew when it breaks, and none is there while nobody looks.
let source = null;
function listen() {
  if (document.hidden) {
    source?.close();
    source = null;
    return;
  }
  if (source) return;
  source = new EventSource("v1/events");
  const hear = (name, change) =>
    source.addEventListener(name, (event) => {
      change(JSON.parse(event.data));
      state.rollouts = (state.rollouts ?? []).toSorted(order);
      show();
    });
  const without = (id) => (state.rollouts ?? []).filter((r) => r.id !== id);
  hear("listed", ({ ids }) => {
    state.rollouts = (state.rollouts ?? []).filter((r) => ids.includes(r.id));
  });
  hear("rollout", (rollout) => {
    state.rollouts = [...without(rollout.id), rollout];
  });
  hear("deleted", ({ id }) => {
    state.rollouts = without(id);
  });
  hear("decision", () => {});
  source.onerror = () => {
    // The browser tries again by itself, unless it was answered with an error.
    if (source?.readyState === EventSource.CLOSED) {
      source = null;
      setTimeout(look, AGAIN_MS); // an error may be that nobody knows who looks
    }
    show();
  };
}

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
  if (!document.hidden && !(await login.letIn().catch(() => true))) return;
  listen();
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

const ALLOWED = {
  waiting: ["promote", "abort"],
  running: ["promote", "pause", "abort"],
  paused: ["promote", "resume", "abort"],
  promoted: ["finish", "abort"],
};

function render() {
  const rollout = state.rollouts?.find((r) => r.id === state.selected);
  const { series, decisions, examples, workers } = state.detail;
  const safely = (id, make) => {
    try {
      fill($(id), make());
    } catch (error) {
      console.error(`could not show ${id}`, error);
    }
  };

  const silent = state.trouble === UNREACHABLE;
  const since = state.answered ? ` Last answer ${words.span(Date.now() - state.answered)} ago; what stands below is from then.` : "";
  showText("notice", silent ? "The judge does not answer; Envoy goes on routing by the last plan." : state.trouble ?? "");
  $("notice").hidden = !state.trouble;
  showText("link", silent ? (since.trim() || "no answer yet") : state.answered ? "live" : "connecting");
  $("link").className = silent ? "link lost" : "link";
  document.body.classList.toggle("stale", silent && state.answered != null);

  $("empty").hidden = state.rollouts?.length !== 0;
  $("rollouts").hidden = !state.rollouts?.length;
  $("rollout").hidden = !rollout;
  document.title = rollout ? `${rollout.id}: ${words.phaseName(rollout.phase).toLowerCase()} · Serinus` : "Serinus";
  safely("rollouts", () => parts.glance(state.rollouts ?? [], state.selected));
  if (!rollout) return;

  const reach = words.reach(rollout.delivery);
  const sentence = words.headline(rollout);
  safely("about", () => parts.about(rollout, now()));
  showText("headline", sentence);
  safely("reasons", () => parts.reasons(rollout, decisions));
  showText("reach", reach?.text ?? "");
  $("reach").className = reach?.good ? "reach" : "reach attention";
  // A screen reader hears changes of state, not numbers that move each second.
  showText("announce", silent ? "" : `${rollout.id}: ${sentence}`);

  const allowed = ALLOWED[rollout.phase] ?? [];
  $("actions").hidden = allowed.length === 0;
  for (const button of $("actions").children) {
    button.hidden = !allowed.includes(button.dataset.action);
    button.disabled = silent;
  }

  safely("steps", () => parts.steps(rollout, decisions, now()));
  showText("minimum", parts.minimum(rollout));
  safely("traffic", () => parts.traffic(rollout, series, decisions, now()));
  safely("delivery", () => parts.delivery(rollout, workers, now()));
  safely("metrics", () => parts.metrics(rollout, series, decisions, now()));
  $("segments-panel").hidden = !rollout.segments?.length;
  safely("segments", () => parts.segments(rollout));
  safely("examples", () => parts.examples(rollout, examples));
  safely("decisions", () => parts.decisions(rollout, decisions, now()));
  showText("spec", JSON.stringify(rollout.spec ?? {}, null, 2));
}

function showText(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

// === deciding by hand ===

const ASK = {
  finish: (r) => `${r.id} ends for good: ${words.versionOf(words.treatmentsOf(r)[0])} serves everybody, nothing is judged any more, and the old version may go.`,
  promote: (r) => r.phase === "waiting" ? `${r.id} starts now, though not every version says that it is ready.` : `${r.id} moves on from ${words.stepWeights(r.steps?.[r.step])} now, without waiting for the judge’s evidence.`,
  pause: (r) => `${r.id} stays at ${words.stepWeights(r.steps?.[r.step])} until somebody resumes it.`,
  resume: (r) => `${r.id} goes on from ${words.stepWeights(r.steps?.[r.step])}; the judge decides again.`,
  abort: (r) => `${r.id} ends: all its users go back to ${words.versionOf(r.arms?.find((a) => a.name === words.controlOf(r)))} within seconds.`,
};
const dialog = $("dialog");
let asked = null;

$("actions").addEventListener("click", (event) => {
  const action = event.target.closest("button")?.dataset.action;
  const rollout = state.rollouts?.find((r) => r.id === state.selected);
  if (!action || !rollout) return;
  asked = { action, id: rollout.id };
  const verb = action[0].toUpperCase() + action.slice(1);
  showText("dialog-title", `${verb} ${rollout.id}?`);
  showText("dialog-text", ASK[action](rollout));
  showText("dialog-error", "");
  showText("confirm", verb);
  $("confirm").classList.toggle("danger", action === "abort");
  $("reason").value = "";
  dialog.showModal();
});
$("cancel").addEventListener("click", () => dialog.close());
dialog.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { action, id } = asked;
  const reason = $("reason").value.trim();
  $("confirm").disabled = true;
  try {
    await ask(at(id, `/${action}`), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(reason ? { reason } : {}),
    });
    dialog.close();
    $("headline").focus({ preventScroll: true }); // the button that opened the dialog may be gone
    show();
  } catch (error) {
    showText("dialog-error", error instanceof Problem ? `The judge refused: ${error.message}` : "The judge does not answer. Once it does, its decisions show whether this arrived.");
  } finally {
    $("confirm").disabled = false;
  }
});

// === starting ===

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
