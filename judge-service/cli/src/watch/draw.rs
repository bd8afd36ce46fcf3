//! Lines of a page: text with styles, cut to the width of a terminal.

use crate::view::Metric;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    Bold,
    Faint,
    Good,
    Bad,
    Chosen,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line(pub Vec<(Style, String)>);

// === impl Line ===

impl Line {
    pub fn new(style: Style, text: impl Into<String>) -> Self {
        Self(vec![(style, text.into())])
    }

    pub fn plain(text: impl Into<String>) -> Self {
        Self::new(Style::Plain, text)
    }

    pub fn and(mut self, style: Style, text: impl Into<String>) -> Self {
        self.0.push((style, text.into()));
        self
    }

    /// Its first characters, and nothing that a terminal would take for an order.
    pub fn cut(&self, width: usize) -> Self {
        let mut left = width;
        let mut parts = Vec::new();
        for (style, text) in &self.0 {
            let shown = text.chars().map(|c| if c.is_control() { ' ' } else { c });
            let shown: String = shown.take(left).collect();
            left -= shown.chars().count();
            parts.push((*style, shown));
        }
        Self(parts)
    }

    pub fn length(&self) -> usize {
        self.0.iter().map(|(_, text)| text.chars().count()).sum()
    }

    #[cfg(test)]
    pub fn text(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }
}

/// A share as a bar: `████░░░░`.
pub fn bar(percent: f64, width: usize) -> String {
    let full = (percent.clamp(0.0, 100.0) / 100.0 * width as f64).round() as usize;
    // Who has anybody is seen.
    let full = if percent > 0.0 { full.max(1) } else { 0 };
    "█".repeat(full) + &"░".repeat(width.saturating_sub(full))
}

/// An interval on an axis from below zero to past its margin:
/// `   [==0===]   !    `. `0` is no difference, `!` the margin; an interval that goes on
/// beyond the axis has an arrow there.
pub fn interval(metric: &Metric, width: usize) -> String {
    let (Some(upper), 3..) = (metric.upper, width) else {
        return String::new();
    };
    let margin = metric
        .margin
        .filter(|margin| margin.is_finite() && *margin > 0.0);
    let half = margin.map_or_else(|| upper.abs(), |margin| margin * 1.5);
    let half = if half > 0.0 { half } else { 1.0 };
    let at = |value: f64| {
        let share = (value / half).clamp(-1.0, 1.0) / 2.0 + 0.5;
        (share * (width - 1) as f64).round() as usize
    };
    let lower = metric.lower.unwrap_or(f64::NEG_INFINITY);
    let mut cells = vec![' '; width];
    let mut put = |place: usize, mark: char| {
        if let Some(cell) = cells.get_mut(place) {
            *cell = mark;
        }
    };
    for place in at(lower)..=at(upper) {
        put(place, '=');
    }
    if let Some(margin) = margin {
        put(at(margin), '!');
    }
    put(at(0.0), '0');
    put(at(lower), if lower < -half { '<' } else { '[' });
    put(at(upper), if upper > half { '>' } else { ']' });
    cells.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_and_gives_no_orders() {
        let line = Line::plain("ab\x1b[2J").and(Style::Bad, "cdé");
        assert_eq!(line.cut(80).text(), "ab [2Jcdé");
        assert_eq!(line.cut(8).text(), "ab [2Jcd");
        assert_eq!(line.cut(0).text(), "");
    }

    #[test]
    fn bars() {
        assert_eq!(bar(50.0, 8), "████░░░░");
        assert_eq!(bar(0.1, 4), "█░░░");
        assert_eq!(bar(0.0, 4), "░░░░");
        assert_eq!(bar(100.0, 4), "████");
    }

    #[test]
    fn intervals_beside_their_margin() {
        let metric = |lower, upper| Metric {
            lower,
            upper,
            margin: Some(0.02),
            ..Metric::default()
        };
        // 21 cells are -0.03 to 0.03, three thousandths each.
        let drawn = |lower, upper| interval(&metric(lower, upper), 21);
        assert_eq!(drawn(Some(-0.006), Some(0.006)), "        [=0=]    !   ");
        assert_eq!(drawn(Some(0.024), Some(1.0)), "          0      ![=>");
        assert_eq!(drawn(None, Some(-0.012)), "<=====]   0      !   ");
        assert_eq!(drawn(Some(0.0), None), "");
        assert_eq!(interval(&metric(None, Some(0.0)), 2), "");
    }
}
