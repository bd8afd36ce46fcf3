//! `serinus get`: all rollouts, or one.

use crate::failure::Failure;
use crate::judge::{Judge, JudgeOption, rollout_path};
use crate::output::OutputOption;
use crate::table::Table;
use crate::view::{Metric, Status};
use crate::words::plain;
use crate::{runtime, words};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt::Write;

#[derive(clap::Args)]
pub struct Get {
    /// The rollout; all of them without one
    id: Option<String>,
    #[command(flatten)]
    judge: JudgeOption,
    #[command(flatten)]
    output: OutputOption,
}

impl Get {
    pub fn run(&self) -> Result<(), Failure> {
        let judge = self.judge.open()?;
        runtime::run(async {
            match &self.id {
                None => {
                    let answer: Value = judge.get("/v1/rollouts").await?;
                    let all: Vec<Status> = read(&answer)?;
                    self.output.print(&answer, || list(&all, words::now_ms()))
                }
                Some(id) => {
                    let answer = one(&judge, id).await?;
                    let status: Status = read(&answer)?;
                    self.output
                        .print(&answer, || detail(&status, words::now_ms()))
                }
            }
        })
    }
}

/// What the judge says of a rollout, all of it.
///
/// # Errors
/// No such rollout, with the nearest that there is.
pub async fn one(judge: &Judge, id: &str) -> Result<Value, Failure> {
    judge.get(&rollout_path(id, "")).await
}

/// # Errors
/// An answer of another shape.
pub fn read<T: DeserializeOwned>(answer: &Value) -> Result<T, Failure> {
    serde_json::from_value(cleaned(answer)).map_err(|error| {
        Failure::Failed(format!(
            "the judge answered something that this version does not read: {error}"
        ))
    })
}

/// For people: reasons and notices have what other people's servers said.
fn cleaned(answer: &Value) -> Value {
    match answer {
        Value::String(text) => Value::String(words::clean(text)),
        Value::Array(all) => all.iter().map(cleaned).collect(),
        Value::Object(fields) => {
            let fields = fields.iter();
            let cleaned = fields.map(|(name, value)| (name.clone(), cleaned(value)));
            Value::Object(cleaned.collect())
        }
        other => other.clone(),
    }
}

fn list(all: &[Status], now_ms: u64) -> String {
    let mut table = Table::new(["ROLLOUT", "PHASE", "FOR", "STEP", "USERS", "VERDICT"]);
    for status in all {
        table.row([
            status.id.clone(),
            plain(&status.phase),
            words::ago(status.phase_since_ms, now_ms),
            status.step_words(),
            status.users(),
            status.verdict(),
        ]);
    }
    if table.is_empty() {
        return "there is no rollout yet; `serinus apply -f FILE` starts one\n".to_owned();
    }
    table.text(0)
}

pub fn detail(status: &Status, now_ms: u64) -> String {
    let mut text = format!(
        "{}: {} for {}, step {}, created {} ago\n",
        status.id,
        plain(&status.phase),
        words::ago(status.phase_since_ms, now_ms),
        status.step_words(),
        words::ago(status.created_ms, now_ms),
    );
    let _ = write!(text, "\n{}", arms(status));
    let found = metrics(status);
    if !found.is_empty() {
        let _ = write!(text, "\n{found}");
        text.push_str("  (differences and intervals in percentage points)\n");
    }
    let _ = writeln!(text, "\n{}", status.verdict());
    if let Some(evaluation) = status.evaluation.as_ref().filter(|_| !status.is_over()) {
        for reason in &evaluation.reasons {
            let _ = writeln!(text, "  {reason}");
        }
        if evaluation.srm.alarm {
            text.push_str("  the shares of users are not what they should be (SRM)\n");
        }
    }
    if status.awaits_approval {
        let _ = writeln!(text, "  `serinus approve {}` says yes", status.id);
    }
    for gate in &status.gates {
        let state = if gate.open { "open" } else { "closed: " };
        let why = gate.why.as_deref().unwrap_or_default();
        let _ = writeln!(text, "gate {}: {state}{why}", gate.name);
    }
    for arm in status.arms.iter().filter(|arm| arm.scale_down.safe) {
        let _ = writeln!(
            text,
            "the servers of {} may go: {}",
            arm.name, arm.scale_down.why
        );
    }
    let _ = writeln!(text, "{}", workers(status));
    for notice in &status.notices {
        let _ = writeln!(text, "note: {notice}");
    }
    text
}

fn arms(status: &Status) -> String {
    let mut table = Table::new([
        "ARM", "VERSION", "USERS", "REQUESTS", "ERRORS", "P50", "P95", "P99",
    ]);
    for arm in &status.arms {
        let traffic = status.traffic.iter().find(|own| own.arm == arm.name);
        let traffic = traffic.cloned().unwrap_or_default();
        table.row([
            arm.name.clone(),
            arm.version.clone().unwrap_or_default(),
            match arm.dropped_ms {
                None => format!("{}%", arm.weight),
                Some(_) => "dropped".to_owned(),
            },
            words::count(traffic.exposures),
            words::share(traffic.errors, traffic.finished),
            words::duration(traffic.p50_us),
            words::duration(traffic.p95_us),
            words::duration(traffic.p99_us),
        ]);
    }
    table.text(2)
}

fn metrics(status: &Status) -> String {
    // What is not judged any more is not undecided.
    let evaluation = status.evaluation.iter().filter(|_| status.is_judged());
    let found = evaluation.flat_map(|found| &found.metrics);
    let mut table = Table::new([
        "METRIC",
        "ARM",
        "SEGMENT",
        "DIFFERENCE",
        "INTERVAL",
        "MARGIN",
        "",
    ]);
    for metric in found {
        table.row([
            plain(&metric.metric),
            metric.arm.clone(),
            metric.segment.clone().unwrap_or_default(),
            words::points(metric.difference),
            interval(metric),
            metric.margin_words.clone(),
            finding(metric).to_owned(),
        ]);
    }
    if table.is_empty() {
        return String::new();
    }
    table.text(2)
}

/// In percentage points, with the side that is not known left open.
pub fn interval(metric: &Metric) -> String {
    match (metric.lower, metric.upper) {
        (None, None) => words::MISSING.to_owned(),
        (lower, upper) => {
            let side = |side: Option<f64>| side.map_or("?".to_owned(), |_| words::points(side));
            format!("{} .. {}", side(lower), side(upper))
        }
    }
}

pub fn finding(metric: &Metric) -> &'static str {
    match metric {
        Metric { harmed: true, .. } => "harm",
        Metric {
            within_margin: Some(true),
            ..
        } => "within margin",
        Metric {
            within_margin: Some(false),
            ..
        } => "not sure yet",
        _ => "no harm seen",
    }
}

pub fn workers(status: &Status) -> String {
    let delivery = &status.delivery;
    let mut text = format!(
        "{} of {} workers have plan {}",
        delivery.converged, delivery.workers, delivery.revision
    );
    for (number, what) in [
        (delivery.silent, "silent"),
        (delivery.refused, "refused it"),
    ] {
        if number > 0 {
            let _ = write!(text, ", {number} {what}");
        }
    }
    if let Some(ms) = delivery.decided_to_last_worker_ms {
        let _ = write!(text, "; the last got it {ms} ms after the decision");
    }
    text
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use serde_json::json;

    pub fn answer() -> Value {
        json!({
            "id": "digits", "phase": "running", "phase_since_ms": 1_000, "created_ms": 1_000,
            "step": 1, "steps": [{"weights": {"canary": 10.0}}, {"weights": {"canary": 25.0}}],
            "step_since_ms": 61_000, "warming_up": false, "baseline": "control",
            "arms": [
                {"name": "control", "version": "v1", "weight": 75.0},
                {"name": "canary", "version": "v2", "weight": 25.0}
            ],
            "traffic": [
                {"arm": "control", "exposures": 7_500, "finished": 7_500, "errors": 75, "p50_us": 8_250},
                {"arm": "canary", "exposures": 2_500, "finished": 2_500, "errors": 25}
            ],
            "evaluation": {
                "at_ms": 61_500, "action": "hold", "reasons": ["canary: errors are not sure yet"],
                "metrics": [{
                    "metric": "errors", "arm": "canary", "difference": 0.001, "lower": -0.004,
                    "upper": 0.006, "margin": 0.005, "margin_words": "1.5 times control's",
                    "harmed": false, "within_margin": false, "words": "errors are alike"
                }],
                "srm": {"alarm": false}
            },
            "notices": ["one worker is silent"],
            "delivery": {"revision": "1.42", "workers": 2, "converged": 1, "silent": 1, "refused": 0},
            "spec": {"id": "digits"}, "later": true
        })
    }

    #[test]
    fn a_rollout_in_a_row() {
        let status: Status = read(&answer()).unwrap();
        assert_eq!(
            list(&[status], 181_000),
            "ROLLOUT  PHASE    FOR    STEP    USERS       VERDICT\n\
             digits   running  3 min  2 of 2  canary 25%  hold\n"
        );
        assert!(list(&[], 0).contains("no rollout yet"));
    }

    #[test]
    fn a_rollout_on_a_page() {
        let status: Status = read(&answer()).unwrap();
        let text = detail(&status, 181_000);
        for part in [
            "digits: running for 3 min, step 2 of 2, created 3 min ago\n",
            "control  v1       75%    7,500     1.00%   8.2 ms",
            "errors  canary  +0.10       -0.40 .. +0.60  1.5 times control's  not sure yet",
            "\nhold\n  canary: errors are not sure yet\n",
            "1 of 2 workers have plan 1.42, 1 silent\n",
            "note: one worker is silent\n",
        ] {
            assert!(text.contains(part), "{part}\n---\n{text}");
        }
    }

    #[test]
    fn what_it_waits_for_is_said() {
        let mut answer = answer();
        answer["phase"] = json!("paused");
        answer["awaits_approval"] = json!(true);
        answer["gates"] = json!([
            {"name": "board", "kind": "ask", "open": false, "why": "answered\u{1b}403"},
            {"name": "windows", "kind": "windows", "open": true, "why": null},
        ]);
        answer["arms"][0]["scale_down"] = json!({"safe": true, "why": "nobody is sent there"});
        let text = detail(&read(&answer).unwrap(), 181_000);
        for part in [
            "\nasks for approval\n",
            "  `serinus approve digits` says yes\n",
            "gate board: closed: answered 403\ngate windows: open\n",
            "the servers of control may go: nobody is sent there\n",
        ] {
            assert!(text.contains(part), "{part}\n---\n{text}");
        }
    }
}
