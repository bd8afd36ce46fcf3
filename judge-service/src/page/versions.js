// What each arm is: version, model file and its digest, and whether its servers may go.

import { h } from "./dom.js";
import { swatch } from "./shared.js";
import * as words from "./words.js";

// Only what a browser opens is a link: a registry's own scheme, or a script's, is text.
const registry = (uri) => (/^https?:/.test(uri) ? h("a", { href: uri, rel: "noreferrer" }, uri) : uri);

export function versions(rollout) {
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Versions" }, h("table", null,
    h("thead", null, h("tr", null, ["Arm", "Version", "Registry", "Model file", "SHA-256", "Its servers"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", null, (rollout.arms ?? []).map((arm) => h("tr", { "data-key": arm.name },
      h("th", { scope: "row", class: "name" }, swatch(rollout, arm.name), arm.name),
      h("td", { class: "name" }, arm.version ?? "–"),
      h("td", { class: "name" }, arm.registry_uri ? registry(arm.registry_uri) : "–"),
      h("td", { class: "name" }, arm.model ?? "none"),
      h("td", null, arm.file_sha256 ? h("code", { title: arm.file_sha256 }, String(arm.file_sha256).slice(0, 16)) : "–"),
      h("td", null, arm.scale_down?.safe ? "may go" : "are needed", arm.scale_down?.why && h("span", { class: "why soft" }, arm.scale_down.why)))))));
}
