//! The stories as lines of text: what happens, second by second.

use serinus_tests::drawing::{self, Tile};
use serinus_tests::judge::status::Phase;
use serinus_tests::lab::CANARY;
use serinus_tests::stories::{ACROSS, Cell, Moment, Screen};

/// Characters of a reason in a line.
const REASON: usize = 58;

/// Lines of the timeline between two heads.
const HEAD_EVERY: u32 = 20;

pub struct Timeline {
    lines_since_head: u32,
}

impl Timeline {
    pub fn new() -> Self {
        Self {
            lines_since_head: HEAD_EVERY,
        }
    }

    fn head(&mut self) {
        if self.lines_since_head < HEAD_EVERY {
            return;
        }
        self.lines_since_head = 0;
        println!();
        println!(
            "  {:>5} {:>9} {:>11} {:>23} {:>23} {:>23} {:>6}  verdict",
            "time", "step", "req/s", "errors", "slow (p95)", "wrong", "hurt"
        );
        println!(
            "  {:>5} {:>9} {:>11} {:>23} {:>23} {:>23} {:>6}",
            "s", "", "v1 / v2", "v2 - v1, in points", "v2 - v1, in points", "of v2, in %", "users"
        );
    }
}

impl Screen for Timeline {
    fn title(&mut self, title: &str, lines: &[String]) {
        println!();
        println!(
            "=== {title} {}",
            "=".repeat(100_usize.saturating_sub(title.len()))
        );
        for line in lines {
            println!("  {line}");
        }
        self.lines_since_head = HEAD_EVERY;
    }

    fn moment(&mut self, moment: &Moment) {
        self.head();
        self.lines_since_head += 1;
        let (step, verdict) = match &moment.status {
            None => ("-".to_owned(), "the judge is dead".to_owned()),
            Some(status) => (
                format!(
                    "{}/{} {:>3}%",
                    status.step + 1,
                    status.steps.len(),
                    status.weight(CANARY)
                ),
                verdict(moment),
            ),
        };
        let cell = |index: usize| moment.cells.get(index).map_or("-".to_owned(), words);
        println!(
            "  {:>5.0} {:>9} {:>11} {:>23} {:>23} {:>23} {:>6}  {}",
            moment.seconds,
            step,
            format!("{} / {}", moment.control_requests, moment.canary_requests),
            cell(0),
            cell(1),
            cell(2),
            moment.users_hurt,
            verdict
        );
    }

    fn event(&mut self, seconds: f64, text: &str) {
        println!("  {seconds:>5.1} >> {text}");
    }

    fn pictures(&mut self, heading: &str, tiles: &[Tile]) {
        println!();
        println!("  {heading}");
        println!();
        for line in drawing::grid(tiles, ACROSS) {
            println!("{}", format!("    {line}").trim_end());
        }
    }

    fn text(&mut self, lines: &[String]) {
        println!();
        for line in lines {
            println!("{}", format!("  {line}").trim_end());
        }
        self.lines_since_head = HEAD_EVERY;
    }
}

/// "+0.12 [-0.41, +0.66] ok": the value, its interval, and whether it is surely
/// within its margin or surely harmful.
fn words(cell: &Cell) -> String {
    let Some(value) = cell.value else {
        return "-".to_owned();
    };
    let mark = match (cell.harmed, cell.within_margin) {
        (true, _) => " BAD",
        (false, Some(true)) => " ok",
        _ => "",
    };
    match cell.interval {
        Some((lower, upper)) => format!("{value:+.1} [{lower:+.1},{upper:+.1}]{mark}"),
        None => format!("{value:+.2}{mark}"),
    }
}

fn verdict(moment: &Moment) -> String {
    let Some(status) = &moment.status else {
        return String::new();
    };
    match status.phase {
        Phase::Running if status.warming_up => "hold: learning latency".to_owned(),
        Phase::Running | Phase::Paused => {
            let Some(evaluation) = &status.evaluation else {
                return "-".to_owned();
            };
            // What is waited for, as far as a line is long.
            let reason = evaluation.reasons.first().map_or("", String::as_str);
            let reason: String = reason.chars().take(REASON).collect();
            format!("{}: {reason}", evaluation.action.replace('_', " "))
        }
        Phase::Promoted => "PROMOTED".to_owned(),
        Phase::RolledBack => "ROLLED BACK".to_owned(),
        Phase::Aborted => "ABORTED".to_owned(),
        Phase::Waiting => "waits for its version".to_owned(),
        Phase::Finished => "FINISHED".to_owned(),
        Phase::Superseded => "SUPERSEDED".to_owned(),
    }
}
