//! `serinus decisions`: what was decided of a rollout, by whom and why.

use crate::failure::Failure;
use crate::judge::{JudgeOption, rollout_path};
use crate::output::OutputOption;
use crate::table::Table;
use crate::words::plain;
use crate::{get, runtime, words};
use serde::Deserialize;
use serde_json::Value;

#[derive(clap::Args)]
pub struct Decisions {
    /// The rollout
    id: String,
    #[command(flatten)]
    judge: JudgeOption,
    #[command(flatten)]
    output: OutputOption,
}

/// As much of one as the table shows.
#[derive(Deserialize)]
struct Decision {
    sequence: u64,
    at_ms: u64,
    action: String,
    by: String,
    from_step: usize,
    to_step: usize,
    #[serde(default)]
    reasons: Vec<String>,
    #[serde(default)]
    delivered: Option<Delivered>,
}

#[derive(Deserialize)]
struct Delivered {
    #[serde(default)]
    missing: usize,
    last_worker_ms: Option<u64>,
}

impl Decisions {
    pub fn run(&self) -> Result<(), Failure> {
        let judge = self.judge.open()?;
        runtime::run(async {
            let answer: Value = judge.get(&rollout_path(&self.id, "/decisions")).await?;
            let all: Vec<Decision> = get::read(&answer)?;
            self.output.print(&answer, || text(&all))
        })
    }
}

fn text(all: &[Decision]) -> String {
    let mut table = Table::new(["NUMBER", "TIME", "BY", "ACTION", "STEP", "DELIVERED", "WHY"]);
    for decision in all {
        table.row([
            decision.sequence.to_string(),
            words::time(decision.at_ms),
            decision.by.clone(),
            plain(&decision.action),
            match decision.from_step == decision.to_step {
                true => (decision.to_step + 1).to_string(),
                false => format!("{} to {}", decision.from_step + 1, decision.to_step + 1),
            },
            decision
                .delivered
                .as_ref()
                .map_or_else(|| NOT_KNOWN.to_owned(), delivered),
            decision.reasons.join("; "),
        ]);
    }
    table.text(0)
}

/// No worker had it, or nobody measured when.
const NOT_KNOWN: &str = "-";

/// Until the last worker had it.
fn delivered(delivered: &Delivered) -> String {
    match (delivered.last_worker_ms, delivered.missing) {
        (Some(ms), 0) => format!("{ms} ms"),
        (Some(ms), missing) => format!("{ms} ms, {missing} missing"),
        (None, 0) => NOT_KNOWN.to_owned(),
        (None, missing) => format!("{missing} missing"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_decision_in_a_row() {
        let all: Vec<Decision> = get::read(&json!([
            {"sequence": 1, "at_ms": 0, "action": "create", "by": "person", "from_step": 0,
                "to_step": 0, "reasons": ["a person created it"], "hash": "", "later": 1},
            {"sequence": 2, "at_ms": 61_000, "action": "roll_back", "by": "judge",
                "from_step": 1, "to_step": 0, "reasons": ["errors", "latency"],
                "delivered": {"workers": 3, "missing": 1, "last_worker_ms": 12}},
        ]))
        .unwrap();
        assert_eq!(
            text(&all),
            "NUMBER  TIME                  BY      ACTION     STEP    DELIVERED         WHY\n\
             1       1970-01-01 00:00:00Z  person  create     1       -                 a person created it\n\
             2       1970-01-01 00:01:01Z  judge   roll back  2 to 1  12 ms, 1 missing  errors; latency\n"
        );
    }
}
