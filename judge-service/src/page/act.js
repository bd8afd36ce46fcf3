// Deciding by hand: which buttons there are, what each would do, and doing it.

import { at, ask, Problem } from "./judge.js";
import { h } from "./dom.js";
import * as words from "./words.js";

const $ = (id) => document.getElementById(id);
const here = (rollout) => words.stepWeights(rollout.steps?.[rollout.step]);
const next = (rollout) => words.stepWeights(rollout.steps?.[rollout.step + 1]);
const isLast = (rollout) => rollout.step + 1 >= (rollout.steps?.length ?? 0);
const control = (rollout) => words.versionOf(rollout.arms?.find((arm) => arm.name === words.controlOf(rollout)));
const onTrial = (rollout) => words.treatmentsOf(rollout).filter((arm) => !words.isDropped(arm));
const them = (rollout) => words.list(onTrial(rollout).map(words.versionOf)) || "the new version";

// What each deed is called, and what it means for this rollout. `looked` are those that
// make sense only for what the person saw: the judge refuses them once it has decided
// otherwise. A way back is never refused for that.
const promote = (r) => ({
  action: words.asksToLook(r) ? "approve" : "promote", looked: true,
  name: r.phase === "waiting" ? "Start now" : words.asksToLook(r) ? `Approve ${next(r)}` : `Promote to ${next(r)}`,
  means: r.phase === "waiting" ? `${r.id} starts now, though not every version says that it is ready.`
    : words.asksToLook(r) ? `The evidence for ${next(r)} is in, and ${r.id} was to wait for a person: it goes on from ${here(r)}.`
      : `${r.id} moves on from ${here(r)} to ${next(r)} now, without waiting for the judge’s evidence.`,
});
const pause = (r) => ({
  action: "pause", name: "Pause", means: `${r.id} stays at ${here(r)} until somebody resumes it. The judge still takes it back if it does harm.`,
});
const resume = (r) => ({
  action: "resume", looked: true,
  name: words.asksToLook(r) ? `Stay at ${here(r)}, judge on` : `Resume at ${here(r)}`,
  means: words.asksToLook(r) ? `${r.id} stays at ${here(r)} and is judged on; it asks again while the evidence for the next step stands, which may be at once.`
    : `${r.id} goes on from ${here(r)}; the judge decides again.`,
});
const finish = (r) => ({
  action: "finish", name: "Finish", looked: true,
  means: `${r.id} ends for good: ${them(r)} serves everybody, nothing is judged any more, and the old version may go.`,
});
const abort = (r) => ({
  action: "abort", name: "Abort", danger: true, means: `${r.id} ends: all its users go back to ${control(r)} within seconds.`,
});
const drop = (r, arm) => ({
  action: `arms/${encodeURIComponent(arm.name)}/drop`, name: `Drop ${words.versionOf(arm)}`, danger: true,
  means: `The users of ${words.armTitle(arm)} go back to ${control(r)} within seconds; ${words.list(onTrial(r).filter((a) => a !== arm).map(words.versionOf))} goes on.`,
});

const stopSampling = (r) => ({
  action: "sampling/stop", name: "Stop copying",
  means: `No more requests and answers of ${r.id} are copied to the judge, and examples that it kept are forgotten. Answers are not judged any more.`,
});
const startSampling = (r) => ({
  action: "sampling/start", name: "Copy again", means: `Requests and answers of some users of ${r.id} are copied to the judge again.`,
});

/** What is done to the copies that the judge gets, and not to users. */
export function samplingButton(rollout, copies, silent) {
  if (!rollout.spec?.sampling || words.isOver(rollout)) return null;
  return button(copies ? stopSampling(rollout) : startSampling(rollout), silent);
}

function deeds(rollout) {
  const drops = onTrial(rollout).length > 1 ? onTrial(rollout).map((arm) => drop(rollout, arm)) : [];
  const on = isLast(rollout) ? [] : [promote(rollout)];
  switch (rollout.phase) {
    case "waiting": return [promote(rollout), ...drops, abort(rollout)];
    case "running": return [...on, pause(rollout), ...drops, abort(rollout)];
    case "paused": return [...on, resume(rollout), ...drops, abort(rollout)];
    case "promoted": return [finish(rollout), abort(rollout)];
  }
  return [];
}

// None can be pressed while the judge does not answer.
const button = (deed, silent) => h("button", {
  type: "button", "data-key": deed.action, "data-action": deed.action, disabled: silent,
  class: deed.danger ? "danger" : null, "aria-haspopup": "dialog",
}, deed.name);

export const buttons = (rollout, silent) => deeds(rollout).map((deed) => button(deed, silent));

// === asking before it is done ===

const dialog = $("dialog");
let asked = null;

// A random key, so that a deed that is sent again, since no answer came, is done once.
// `randomUUID` is not there over plain HTTP.
const key = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

function open(rollout, action) {
  const deed = [...deeds(rollout), stopSampling(rollout), startSampling(rollout)].find((deed) => deed.action === action);
  if (!deed) return;
  asked = { deed, id: rollout.id, version: rollout.version, key: key() };
  $("dialog-title").textContent = `${deed.name}: ${rollout.id}?`;
  $("dialog-text").textContent = deed.means;
  refused("");
  $("confirm").textContent = deed.name;
  $("confirm").hidden = false;
  $("confirm").classList.toggle("danger", deed.danger === true);
  $("reason").value = "";
  dialog.showModal();
}

function refused(text, forGood = false) {
  $("dialog-error").textContent = text;
  $("confirm").hidden = forGood;
  $("cancel").textContent = forGood ? "Close" : "Cancel";
}

async function send({ deed, id, version, key }) {
  const reason = $("reason").value.trim();
  await ask(at(id, `/${deed.action}`), {
    method: "POST",
    headers: {
      "content-type": "application/json", "idempotency-key": key,
      ...(deed.looked ? { "if-match": `"${version}"` } : {}),
    },
    body: JSON.stringify(reason ? { reason } : {}),
  });
}

/** Says why it was not done. */
function explain(error) {
  if (!(error instanceof Problem)) {
    return refused("The judge does not answer, so it is not known whether this arrived. To try again is harmless: it is done once.");
  }
  if (error.status === 412) {
    return refused("Not done: the rollout has changed since you opened this. Close it and look again.", true);
  }
  // Anything that was wrong with what was typed can be typed again.
  refused(`The judge refused: ${error.message}`, error.status === 404 || error.status === 409);
}

/** @param current the rollout that is shown  @param done called once something was done */
export function allowDeeds(current, done) {
  $("rollout").addEventListener("click", (event) => {
    const action = event.target.closest("button[data-action]")?.dataset.action;
    const rollout = current();
    if (action && rollout) open(rollout, action);
  });
  $("cancel").addEventListener("click", () => dialog.close());
  dialog.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    if ($("confirm").hidden || $("confirm").disabled) return;
    $("confirm").disabled = true;
    refused("");
    try {
      await send(asked);
      dialog.close();
      $("headline").focus({ preventScroll: true }); // the button that opened the dialog may be gone
      done();
    } catch (error) {
      explain(error);
    } finally {
      $("confirm").disabled = false;
      // A button that is gone must not take the keyboard with it.
      if (dialog.open && $("confirm").hidden) $("cancel").focus();
    }
  });
}
