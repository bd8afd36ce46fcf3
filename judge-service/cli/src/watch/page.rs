//! What the terminal shows, as lines: a pure function of what the judge said.

use super::draw::{Line, Style, bar, interval};
use crate::failure::Failure;
use crate::get::{detail, finding, workers};
use crate::view::{Metric, Status};
use crate::words;
use crate::words::plain;

const BAR: usize = 24;

pub struct Page {
    address: String,
    all: Vec<Status>,
    /// Which of several is chosen, and whether it is open.
    chosen: usize,
    open: bool,
    /// Why nothing new comes.
    away: Option<String>,
}

// === impl Page ===

impl Page {
    pub fn new(address: &str, all: Vec<Status>) -> Self {
        Self {
            address: address.to_owned(),
            open: all.len() == 1,
            all,
            chosen: 0,
            away: None,
        }
    }

    pub fn all(&self) -> &[Status] {
        &self.all
    }

    pub fn now(&mut self, all: Vec<Status>) {
        // The same rollout stays chosen, wherever it stands now.
        let id = self.chosen().map(|status| status.id.clone());
        let place = all
            .iter()
            .position(|status| Some(&status.id) == id.as_ref());
        self.chosen = place.unwrap_or(0);
        self.all = all;
        self.away = None;
    }

    pub fn away(&mut self, failure: &Failure) {
        self.away = Some(failure.to_string());
    }

    pub fn choose_next(&mut self) {
        self.chosen = (self.chosen + 1).min(self.all.len().saturating_sub(1));
    }

    pub fn choose_before(&mut self) {
        self.chosen = self.chosen.saturating_sub(1);
    }

    pub fn open_or_close(&mut self) {
        self.open = !self.open;
    }

    /// What stays on the terminal when the page is gone.
    pub fn last_words(&self) -> String {
        self.chosen()
            .map_or_else(String::new, |status| detail(status, words::now_ms()))
    }

    fn chosen(&self) -> Option<&Status> {
        self.all.get(self.chosen)
    }

    pub fn lines(&self, width: usize, height: usize, now_ms: u64) -> Vec<Line> {
        let mut lines = vec![
            Line::new(Style::Bold, "serinus ")
                .and(Style::Faint, self.address.as_str())
                .and(Style::Faint, "   q quits, up and down choose, enter opens"),
        ];
        if let Some(away) = &self.away {
            lines.push(Line::new(Style::Bad, format!("not up to date: {away}")));
        }
        lines.push(Line::default());
        match self.chosen() {
            None => lines.push(Line::plain("there is no rollout yet")),
            Some(status) if self.open => lines.extend(one(status, width, now_ms)),
            Some(_) => lines.extend(self.list(now_ms)),
        }
        lines.truncate(height);
        lines.iter().map(|line| line.cut(width)).collect()
    }

    fn list(&self, now_ms: u64) -> Vec<Line> {
        let longest = self
            .all
            .iter()
            .map(|status| status.id.chars().count())
            .max();
        let longest = longest.unwrap_or_default();
        let rows = self.all.iter().enumerate();
        rows.map(|(index, status)| {
            let style = if index == self.chosen {
                Style::Chosen
            } else {
                Style::Plain
            };
            Line::new(style, format!("{:longest$}", status.id))
                .and(
                    style_of(&status.phase),
                    format!("  {:11}", plain(&status.phase)),
                )
                .and(
                    Style::Plain,
                    format!(
                        "  {:>7}  step {}  {}  ",
                        words::ago(status.phase_since_ms, now_ms),
                        status.step_words(),
                        status.users()
                    ),
                )
                .and(Style::Bold, status.verdict())
        })
        .collect()
    }
}

fn style_of(phase: &str) -> Style {
    match phase {
        "promoted" | "finished" => Style::Good,
        "rolled_back" | "aborted" => Style::Bad,
        _ => Style::Plain,
    }
}

fn one(status: &Status, width: usize, now_ms: u64) -> Vec<Line> {
    let mut lines = vec![
        Line::new(Style::Bold, status.id.as_str())
            .and(
                style_of(&status.phase),
                format!("  {}", plain(&status.phase)),
            )
            .and(
                Style::Plain,
                format!(
                    " for {}, step {} for {}",
                    words::ago(status.phase_since_ms, now_ms),
                    status.step_words(),
                    words::ago(status.step_since_ms, now_ms)
                ),
            ),
        steps(status),
        Line::default(),
    ];
    lines.extend(arms(status));
    lines.push(Line::default());
    let found: Vec<&Metric> = {
        let metrics = status.evaluation.iter();
        metrics.flat_map(|found| &found.metrics).collect()
    };
    lines.extend(found.iter().map(|metric| metric_line(metric, width)));
    if !found.is_empty() {
        lines.push(Line::default());
    }
    lines.push(Line::new(Style::Bold, status.verdict()));
    if let Some(evaluation) = status.evaluation.as_ref().filter(|_| !status.is_over()) {
        let reasons = evaluation.reasons.iter();
        lines.extend(reasons.map(|reason| Line::plain(format!("  {reason}"))));
        if evaluation.srm.alarm {
            let alarm = "  the shares of users are not what they should be (SRM)";
            lines.push(Line::new(Style::Bad, alarm));
        }
    }
    lines.push(Line::default());
    let delivery = &status.delivery;
    let style = if delivery.converged == delivery.workers && delivery.refused == 0 {
        Style::Plain
    } else {
        Style::Bad
    };
    lines.push(Line::new(style, workers(status)));
    let notices = status.notices.iter();
    lines.extend(notices.map(|notice| Line::new(Style::Bad, format!("note: {notice}"))));
    lines
}

/// `10% == [25%] -- 100%`: where the rollout stands on its way.
fn steps(status: &Status) -> Line {
    let mut line = Line::plain("  ");
    for (index, step) in status.steps.iter().enumerate() {
        let weights: Vec<String> = step
            .weights
            .values()
            .map(|percent| format!("{percent}%"))
            .collect();
        let name = match weights.as_slice() {
            [] => "copies".to_owned(),
            weights => weights.join("+"),
        };
        if index > 0 {
            let way = if index <= status.step {
                " ━━ "
            } else {
                " ── "
            };
            line = line.and(Style::Faint, way);
        }
        line = match index.cmp(&status.step) {
            std::cmp::Ordering::Less => line.and(Style::Good, name),
            std::cmp::Ordering::Equal => line.and(Style::Chosen, format!("[{name}]")),
            std::cmp::Ordering::Greater => line.and(Style::Faint, name),
        };
    }
    line
}

fn arms(status: &Status) -> Vec<Line> {
    let longest = status.arms.iter().map(|arm| arm.name.chars().count()).max();
    let longest = longest.unwrap_or_default();
    let rows = status.arms.iter().map(|arm| {
        let traffic = status.traffic.iter().find(|own| own.arm == arm.name);
        let traffic = traffic.cloned().unwrap_or_default();
        let share = match arm.dropped_ms {
            None => format!("{:>6}%", arm.weight),
            Some(_) => "dropped".to_owned(),
        };
        Line::plain(format!("  {:longest$}  ", arm.name))
            .and(Style::Good, bar(arm.weight, BAR))
            .and(
                Style::Plain,
                format!(
                    " {share}  {:>10} requests  errors {:>7}  p50 {:>9}  p95 {:>9}",
                    words::count(traffic.exposures),
                    words::share(traffic.errors, traffic.finished),
                    words::duration(traffic.p50_us),
                    words::duration(traffic.p95_us),
                ),
            )
    });
    rows.collect()
}

fn metric_line(metric: &Metric, width: usize) -> Line {
    let of = match &metric.segment {
        None => metric.arm.clone(),
        Some(segment) => format!("{} in {segment}", metric.arm),
    };
    // What stands beside the interval takes half of a wide terminal.
    let drawn = interval(metric, (width / 3).clamp(11, 41));
    let style = match finding(metric) {
        "harm" => Style::Bad,
        "within margin" => Style::Good,
        _ => Style::Plain,
    };
    Line::plain(format!("  {:12} {of:16} ", plain(&metric.metric)))
        .and(Style::Faint, drawn)
        .and(style, format!(" {}", finding(metric)))
        .and(Style::Plain, format!("  {}", metric.words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::get::{read, tests::answer};
    use serde_json::json;

    fn text(page: &Page, width: usize, height: usize) -> String {
        let lines = page.lines(width, height, 181_000);
        assert!(lines.len() <= height);
        let lines: Vec<String> = lines.iter().map(Line::text).collect();
        assert!(lines.iter().all(|line| line.chars().count() <= width));
        lines.join("\n")
    }

    #[test]
    fn one_rollout_with_its_steps_arms_and_metrics() {
        let page = Page::new("http://j", vec![read(&answer()).unwrap()]);
        let shown = text(&page, 160, 40);
        for part in [
            "digits  running for 3 min, step 2 of 2 for 2 min",
            "10% ━━ [25%]",
            "control  ██████████████████░░░░░░     75%       7,500 requests  errors   1.00%  p50    8.2 ms",
            "errors       canary",
            "not sure yet  errors are alike",
            "hold\n  canary: errors are not sure yet",
            "1 of 2 workers have plan 1.42, 1 silent",
        ] {
            assert!(shown.contains(part), "{part}\n---\n{shown}");
        }
        // Whatever the size, nothing stands outside.
        for (width, height) in [(0, 0), (1, 1), (10, 5), (40, 12), (500, 3)] {
            text(&page, width, height);
        }
    }

    #[test]
    fn several_rollouts_are_chosen_from() {
        let mut other = answer();
        other["id"] = json!("fraud");
        other["phase"] = json!("rolled_back");
        let all: Vec<Status> = vec![read(&answer()).unwrap(), read(&other).unwrap()];
        let mut page = Page::new("http://j", all.clone());
        let shown = text(&page, 120, 20);
        assert!(shown.contains("digits  running"), "{shown}");
        assert!(shown.contains("fraud   rolled back"), "{shown}");
        page.choose_next();
        page.choose_next();
        page.open_or_close();
        assert!(text(&page, 120, 20).contains("fraud  rolled back for 3 min"));
        // It stays chosen though another comes before it.
        page.now(vec![all[1].clone(), all[0].clone()]);
        assert!(text(&page, 120, 20).contains("fraud  rolled back for 3 min"));
        page.away(&Failure::NotReached("GET x failed".to_owned()));
        assert!(text(&page, 120, 20).contains("not up to date: GET x failed"));
        page.now(Vec::new());
        assert!(text(&page, 120, 20).contains("there is no rollout yet"));
    }
}
