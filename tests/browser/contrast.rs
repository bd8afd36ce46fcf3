//! Whether text stands out from what is behind it: WCAG 2.2 AA.

use crate::browser::Browser;

/// Returns the visible texts whose contrast is under 4.5, or under 3 where they are large.
const FAINT: &str = r#"
const parse = (color) => {
  const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number);
  return { r, g, b, a };
};
const over = (top, below) => Object.fromEntries(["r", "g", "b"].map((c) => [c, top[c] * top.a + below[c] * (1 - top.a)]));
const behind = (element) => {
  const layers = [];
  for (let e = element; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
  return layers.reverse().reduce((below, layer) => over(layer, below), { r: 255, g: 255, b: 255 });
};
const luminance = ({ r, g, b }) => {
  const [x, y, z] = [r, g, b].map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const faint = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const text = walker.currentNode.data.trim();
  const element = walker.currentNode.parentElement;
  if (!text || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) || element.closest(":disabled, .unseen")) continue;
  const style = getComputedStyle(element);
  const color = parse(element instanceof SVGElement ? style.fill : style.color);
  const ground = behind(element);
  const [high, low] = [luminance(over(color, ground)), luminance(ground)].sort((a, b) => b - a);
  const size = parseFloat(style.fontSize);
  const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
  const ratio = (high + 0.05) / (low + 0.05);
  if (ratio < least - 0.005) faint.push(`${ratio.toFixed(2)}: ${text.slice(0, 60)} (${element.className.baseVal ?? element.className})`);
}
return faint;
"#;

/// In both schemes.
pub async fn is_readable(browser: &Browser) {
    for scheme in ["dark", "light"] {
        browser.scheme(scheme).await;
        let faint: Vec<String> = browser.js(FAINT).await;
        assert!(faint.is_empty(), "hard to read in {scheme}: {faint:#?}");
    }
}
