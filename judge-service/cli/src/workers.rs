//! `serinus workers`: which worker of which proxy has which plan.

use crate::failure::Failure;
use crate::judge::JudgeOption;
use crate::output::OutputOption;
use crate::table::Table;
use crate::{get, runtime, words};
use serde::Deserialize;
use serde_json::Value;

#[derive(clap::Args)]
pub struct Workers {
    #[command(flatten)]
    judge: JudgeOption,
    #[command(flatten)]
    output: OutputOption,
}

/// As much of one as the table shows.
#[derive(Deserialize)]
struct Worker {
    #[serde(default)]
    session: String,
    node: String,
    revision: Option<String>,
    state: String,
    /// Envoy's main thread polls too, and serves nothing.
    serves_traffic: bool,
    last_seen_ms: u64,
    #[serde(default)]
    refused: Option<String>,
}

impl Workers {
    pub fn run(&self) -> Result<(), Failure> {
        let judge = self.judge.open()?;
        runtime::run(async {
            let answer: Value = judge.get("/v1/workers").await?;
            let all: Vec<Worker> = get::read(&answer)?;
            self.output.print(&answer, || text(&all, words::now_ms()))
        })
    }
}

fn text(all: &[Worker], now_ms: u64) -> String {
    let mut table = Table::new([
        "NODE", "SESSION", "STATE", "PLAN", "TRAFFIC", "HEARD", "REFUSED",
    ]);
    for worker in all {
        table.row([
            worker.node.clone(),
            worker.session.clone(),
            worker.state.clone(),
            worker.revision.clone().unwrap_or_default(),
            if worker.serves_traffic { "yes" } else { "no" }.to_owned(),
            format!("{} ago", words::ago(worker.last_seen_ms, now_ms)),
            worker.refused.clone().unwrap_or_default(),
        ]);
    }
    if table.is_empty() {
        return "no worker was heard of yet: an Envoy with the filter asks for the plan at its start; `serinus manifest` writes its configuration\n".to_owned();
    }
    table.text(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_worker_in_a_row() {
        let all: Vec<Worker> = get::read(&json!([
            {"session": "5f", "node": "edge-1", "revision": "1.7", "state": "refused",
                "serves_traffic": true, "last_seen_ms": 58_000, "refused": "too many arms"},
        ]))
        .unwrap();
        assert_eq!(
            text(&all, 60_000),
            "NODE    SESSION  STATE    PLAN  TRAFFIC  HEARD    REFUSED\n\
             edge-1  5f       refused  1.7   yes      2 s ago  too many arms\n"
        );
        assert!(text(&[], 0).contains("no worker was heard of yet"));
    }
}
