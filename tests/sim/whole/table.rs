//! What the whole judge did, for a machine and for people.

use super::release::{End, Ended};
use super::{Row, false_rollback_upper95};
use crate::table::{line, percent, requests};
use serde_json::{Value, json};
use serinus_sim::summary::Times;

/// So many of the runs that did not end rightly are named, so that they can be run again.
const NAMED: usize = 5;

impl Row {
    pub fn json(&self) -> Value {
        let spread = |times: &Times| {
            json!({
                "median": times.quantile_of_hits(0.5),
                "ninety": times.quantile_of_hits(0.9),
            })
        };
        let share = |end| self.times(end).rate();
        let right = self.right_end();
        let wrong: Vec<Value> = self.wrong().take(NAMED).map(named).collect();
        let undecided = self.undecided().take(NAMED).map(named);
        let undecided: Vec<Value> = undecided.collect();
        json!({
            "case": self.case.name,
            "is": self.case.words,
            "traffic": self.traffic.name,
            "right": self.case.right.words(),
            "runs": self.runs.len(),
            "promoted": share(End::Promoted),
            "taken_back": share(End::TakenBack),
            "paused": share(End::Paused),
            "open": share(End::Open),
            "seconds": spread(&self.times(right)),
            "requests": spread(&self.requests(right)),
            "canary_requests": spread(&self.served()),
            "wrong_runs": wrong,
            "undecided_runs": undecided,
        })
    }
}

fn named(ended: &Ended) -> Value {
    json!({
        "run": ended.run,
        "end": format!("{:?}", ended.end),
        "step": ended.step + 1,
        "reasons": ended.reasons,
    })
}

pub fn markdown(rows: &[Row], text: &mut String) {
    if rows.is_empty() {
        return;
    }
    line(text, "\n## The whole judge\n");
    line(
        text,
        "A spec with nothing but two versions, and all that happens to it in virtual time: \
         the filter's own code decides, counts and reports, for two workers; the judge's own \
         books count, and its policy judges and moves the rollout. Simulated are the clock, \
         the requests, the network (plans take up to a second, one report in a hundred is \
         lost or its answer is) and the disk. 5% of users have 15% errors, the others so few \
         that it is 1% of all; answers take 20 ms in the median (lognormal, 0.5), unless a \
         case says otherwise. Time and requests are those until the right end, since the \
         release began or the version is worse, of the runs that came to it: where not all \
         did, so many stand beside the time; `undecided` are paused at the deadline of a \
         step (three days), or open after 1,000,000 requests.\n",
    );
    line(
        text,
        "| case | requests | right is | runs | promoted | taken back | undecided | median \
         time | 90% | median requests | 90% | the new version's, median | 90% |\n| --- | --- \
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    );
    for row in rows {
        let share = |end| row.times(end).rate();
        let right = row.right_end();
        let (times, asked, served) = (row.times(right), row.requests(right), row.served());
        let time = |share| among(&times, duration(times.quantile_of_hits(share)));
        let count = |times: &Times, share| requests(times.quantile_of_hits(share));
        line(
            text,
            &format!(
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                row.case.words,
                row.traffic.name,
                row.case.right.words(),
                row.runs.len(),
                percent(share(End::Promoted)),
                percent(share(End::TakenBack)),
                percent(share(End::Paused) + share(End::Open)),
                time(0.5),
                time(0.9),
                count(&asked, 0.5),
                count(&asked, 0.9),
                count(&served, 0.5),
                count(&served, 0.9),
            ),
        );
    }
    if let Some(upper) = false_rollback_upper95(rows) {
        line(
            text,
            &format!(
                "\nGood versions taken back, all cases together: at most {}.",
                percent(upper)
            ),
        );
    }
    for row in rows {
        let wrong: Vec<String> = row.wrong().map(|ended| ended.run.to_string()).collect();
        if !wrong.is_empty() {
            line(
                text,
                &format!(
                    "\nWrong: {} at {}, runs {}.",
                    row.case.name,
                    row.traffic.name,
                    wrong.join(", ")
                ),
            );
        }
    }
}

/// A time of those runs that came to an end is not that of all.
fn among(times: &Times, time: String) -> String {
    if times.hits() == 0 || times.hits() == times.runs() {
        return time;
    }
    format!("{time} ({} of {})", times.hits(), times.runs())
}

/// As a person says it.
fn duration(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds < 120.0 => format!("{seconds:.0} s"),
        Some(seconds) if seconds < 7_200.0 => format!("{:.0} min", seconds / 60.0),
        Some(seconds) => format!("{:.1} h", seconds / 3_600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_for_people() {
        let written = [7.4, 119.0, 600.0, 9_000.0].map(|seconds| duration(Some(seconds)));
        assert_eq!(written, ["7 s", "119 s", "10 min", "2.5 h"]);
        assert_eq!(duration(None), "-");
    }

    #[test]
    fn a_time_that_few_runs_took_says_so() {
        let of = |ends: &[Option<f64>]| {
            let times = Times::of(ends.iter().copied());
            among(&times, duration(times.quantile_of_hits(0.5)))
        };
        assert_eq!(of(&[Some(2_400.0), None, None]), "40 min (1 of 3)");
        assert_eq!(of(&[Some(2_400.0)]), "40 min");
        assert_eq!(of(&[None]), "-");
    }
}
