//! What changed between two looks, a line for each.

use crate::get::{finding, workers};
use crate::view::Status;
use crate::words::plain;
use std::collections::BTreeMap;

/// What was said last of each subject, such as `digits` and its verdict.
#[derive(Default)]
pub struct Changes {
    said: BTreeMap<(String, String), String>,
    ids: Vec<String>,
}

impl Changes {
    pub fn since(&mut self, all: &[Status]) -> Vec<String> {
        let mut lines = Vec::new();
        let ids: Vec<String> = all.iter().map(|status| status.id.clone()).collect();
        for gone in self.ids.iter().filter(|id| !ids.contains(id)) {
            self.said.retain(|(id, _), _| id != gone);
            lines.push(format!("{gone}: deleted"));
        }
        self.ids = ids;
        for status in all {
            for Subject { of, news, words } in subjects(status) {
                let key = (status.id.clone(), of);
                if self.said.get(&key) != Some(&news) {
                    lines.push(format!("{}: {words}", status.id));
                    self.said.insert(key, news);
                }
            }
        }
        lines
    }
}

/// A thing that may change, with what there is to say of it now.
struct Subject {
    of: String,
    /// It is said again when this is another.
    news: String,
    words: String,
}

/// Counts change at each look, and are no news.
fn subject(of: impl Into<String>, words: String) -> Subject {
    Subject {
        of: of.into(),
        news: words.chars().filter(|c| !c.is_ascii_digit()).collect(),
        words,
    }
}

fn subjects(status: &Status) -> Vec<Subject> {
    let step = format!("step {}, {}", status.step_words(), status.users());
    let mut found = vec![
        subject("phase", plain(&status.phase)),
        Subject {
            of: "step".to_owned(),
            news: step.clone(),
            words: step,
        },
    ];
    if !status.is_over() {
        let reasons = status.evaluation.iter().flat_map(|found| &found.reasons);
        let reason = reasons.map(String::as_str).next();
        let action = status.evaluation.as_ref().map(|found| plain(&found.action));
        let verdict = status.verdict();
        let words = match reason {
            Some(reason) if Some(&verdict) == action.as_ref() => format!("{verdict}: {reason}"),
            _ => verdict,
        };
        found.push(subject("verdict", words));
        for metric in status.evaluation.iter().flat_map(|found| &found.metrics) {
            let segment = metric.segment.as_deref().unwrap_or_default();
            let of = format!("{} {} {segment}", plain(&metric.metric), metric.arm);
            let words = format!("{}: {}", of.trim_end(), finding(metric));
            found.push(subject(of, words));
        }
    }
    let delivery = &status.delivery;
    if delivery.workers > 0 {
        let all = delivery.converged == delivery.workers;
        found.push(Subject {
            of: "workers".to_owned(),
            news: format!("{all} {} {}", delivery.silent, delivery.refused),
            words: workers(status),
        });
    }
    for notice in &status.notices {
        let about: String = notice.chars().filter(|c| !c.is_ascii_digit()).collect();
        found.push(subject(about, format!("note: {notice}")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::get::{read, tests::answer};
    use serde_json::{Value, json};

    fn status(change: impl Fn(&mut Value)) -> Status {
        let mut answer = answer();
        change(&mut answer);
        read(&answer).unwrap()
    }

    #[test]
    fn first_all_and_then_what_is_new() {
        let mut changes = Changes::default();
        assert_eq!(
            changes.since(&[status(|_| ())]),
            [
                "digits: running",
                "digits: step 2 of 2, canary 25%",
                "digits: hold: canary: errors are not sure yet",
                "digits: errors canary: not sure yet",
                "digits: 1 of 2 workers have plan 1.42, 1 silent",
                "digits: note: one worker is silent",
            ]
        );
        assert!(changes.since(&[status(|_| ())]).is_empty());
        let moved = |answer: &mut Value| {
            answer["traffic"][0]["exposures"] = json!(9_999);
            answer["evaluation"]["metrics"][0]["within_margin"] = json!(true);
            answer["arms"][1]["weight"] = json!(100.0);
        };
        assert_eq!(
            changes.since(&[status(moved)]),
            [
                "digits: step 2 of 2, canary 100%",
                "digits: errors canary: within margin"
            ]
        );
        let back = |answer: &mut Value| {
            moved(answer);
            answer["phase"] = json!("rolled_back");
        };
        assert_eq!(changes.since(&[status(back)]), ["digits: rolled back"]);
        assert_eq!(changes.since(&[]), ["digits: deleted"]);
    }
}
