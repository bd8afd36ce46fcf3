// Drawings as SVG. Geometry lives in an inner viewBox that stretches with the
// page; text lives outside of it at percentages, so that it never stretches.

import { s, h } from "./dom.js";

const WIDE = 1000;
const HIGH = 100;

/** Steps of 1, 2 or 5 times a power of ten: at most `most` of them fit into the range. */
function niceStep(range, most) {
  const raw = range / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  return power * [1, 2, 5, 10].find((m) => m * power >= raw * 0.999);
}

/** Cut a series where values are missing or the judge was away, so that no line is drawn over nothing. */
function runs(points, complete) {
  const gaps = points.slice(1).map((p, i) => p.t - points[i].t).sort((a, b) => a - b);
  const longest = Math.max(5000, 5 * (gaps[gaps.length >> 1] ?? 0));
  const found = [];
  let last = null;
  for (const point of points) {
    if (!complete(point)) {
      last = null;
      continue;
    }
    if (!last || point.t - last.t > longest) found.push([]);
    found.at(-1).push(point);
    last = point;
  }
  return found;
}

/**
 * @param lines  [{ className, points: [{t, y}] }]
 * @param bands  [{ className, points: [{t, lower, upper}] }]
 * @param rules  [{ y, className, text? }] horizontal lines
 * @param marks  [{ t, text, kind? }] vertical lines, where a step began
 */
export function timePlot({ label, title, from, to, low, high, format, lines = [], bands = [], rules = [], marks = [], now }) {
  const x = (t) => ((t - from) / Math.max(1, to - from)) * WIDE;
  const y = (v) => ((high - v) / (high - low)) * HIGH;
  const at = (t, v) => `${x(t).toFixed(1)} ${Math.max(-HIGH, Math.min(2 * HIGH, y(v))).toFixed(2)}`;

  const geometry = [];
  const texts = [];
  const step = niceStep(high - low, 4);
  for (let k = Math.ceil(low / step); k * step <= high; k++) {
    const value = k * step;
    const top = y(value);
    geometry.push(s("line", { class: "grid", x1: 0, x2: WIDE, y1: top, y2: top }));
    if (top > 12) texts.push(s("text", { x: 0, y: `${top}%`, dy: -3 }, format(value, step)));
  }
  let free = -Infinity;
  for (const { t, text, kind = "" } of marks) {
    if (t < from || t > to) continue;
    geometry.push(s("line", { class: `mark ${kind}`, x1: x(t), x2: x(t), y1: 0, y2: HIGH }));
    const left = x(t) / 10;
    // A label stands right of its line, at the far end left of it, and not on top of another or of the scale.
    const flip = left > 75;
    if (text && left > 8 && left - free > (flip ? 18 : 9)) {
      texts.push(s("text", { x: `${left}%`, y: 10, dx: flip ? -3 : 3, class: flip ? "end" : null }, text));
      free = left;
    }
  }
  for (const band of bands) {
    for (const run of runs(band.points, (p) => p.lower != null && p.upper != null)) {
      const edge = [...run.map((p) => at(p.t, p.upper)), ...run.toReversed().map((p) => at(p.t, p.lower))];
      geometry.push(s("path", { class: `band ${band.className}`, d: `M${edge.join("L")}Z` }));
    }
  }
  for (const rule of rules) {
    geometry.push(s("line", { class: rule.className, x1: 0, x2: WIDE, y1: y(rule.y), y2: y(rule.y) }));
    if (rule.text) texts.push(s("text", { class: "end", x: "100%", y: `${y(rule.y)}%`, dy: -3 }, rule.text));
  }
  for (const line of lines) {
    for (const run of runs(line.points, (p) => p.y != null)) {
      geometry.push(s("path", { class: `line ${line.className}`, d: `M${run.map((p) => at(p.t, p.y)).join("L")}` }));
    }
  }
  return h("div", { class: "plot" },
    title && h("p", { class: "soft" }, title),
    s("svg", { role: "img", "aria-label": label },
      s("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", width: "100%", height: "100%" }, geometry),
      texts),
    h("div", { class: "axis", "aria-hidden": "true" }, h("span", null, now(from)), h("span", null, now(to))));
}

/** The range to draw. A sequence starts absurdly wide at each step, so its beginnings may run out of the picture. */
export function range(points, always, from, to) {
  const recent = points.filter((p) => p.t >= from + (to - from) * 0.3);
  const judged = recent.filter((p) => p.lower != null && p.upper != null);
  const [shown, lows, highs] = judged.length ? [judged, "lower", "upper"] : [recent.length ? recent : points, "y", "y"];
  const sorted = (name) => shown.map((p) => p[name]).filter(Number.isFinite).sort((a, b) => a - b);
  const quantile = (values, q) => values[Math.round((values.length - 1) * q)];
  const values = [...always, quantile(sorted(lows), 0.1), quantile(sorted(highs), 0.9), points.at(-1)?.y].filter(Number.isFinite);
  const low = Math.min(...values);
  const high = Math.max(...values);
  const room = (high - low || 0.001) * 0.14;
  return [low - room, high + room];
}

/** 64 numbers from 0 to 16, as scikit-learn's digits have them; anything else is not a picture. */
export const isDigit = (input) =>
  Array.isArray(input) && input.length === 64 && input.every((v) => Number.isFinite(v) && v >= 0 && v <= 16);

/** One path per grey level: a picture costs at most 16 elements. */
export function digit(input, label) {
  const levels = new Map();
  input.forEach((value, i) => {
    const level = Math.round(value);
    if (level > 0) levels.set(level, `${levels.get(level) ?? ""}M${i % 8} ${i >> 3}h1v1h-1z`);
  });
  return s("svg", { class: "digit", viewBox: "0 0 8 8", role: "img", "aria-label": label },
    [...levels].map(([level, d]) => s("path", { d, "fill-opacity": level / 16 })));
}
