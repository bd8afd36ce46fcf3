//! The measurements as JSON and as a table.

use crate::SECONDS_BETWEEN_REQUESTS;
use crate::case::Case;
use crate::peers::Verdict;
use crate::release::Release;
use crate::spread::Spread;
use serde_json::{Map, Value, json};
use serinus_tests::failure::{During, Result};
use serinus_tests::peers::{argo_rollouts, flagger};

/// One case at one load.
pub struct Row {
    case: Case,
    rate: u32,
    users: u32,
    pub releases: Vec<Release>,
}

impl Row {
    pub fn new(case: Case, rate: u32, users: u32, releases: Vec<Release>) -> Self {
        Self {
            case,
            rate,
            users,
            releases,
        }
    }

    fn ours(&self) -> Spread {
        Spread::of(self.releases.iter().map(|release| release.seconds))
    }

    fn decided(&self) -> Spread {
        Spread::of(self.releases.iter().map(|release| release.decided_s))
    }

    fn flagger(&self) -> Spread {
        Spread::of(
            self.releases
                .iter()
                .map(|release| release.flagger.seconds()),
        )
    }

    fn argo_rollouts(&self) -> Spread {
        Spread::of(
            self.releases
                .iter()
                .map(|release| release.argo_rollouts.seconds()),
        )
    }

    fn json(&self) -> Value {
        let releases = self.releases.iter().map(|release| {
            json!({
                "seconds": release.seconds,
                "decided_s": release.decided_s,
                "delivered_ms": release.delivered_ms,
                "reason": release.reason,
                "canary_requests": release.canary_requests,
                "bad_answers": release.bad_answers,
                "users_hurt": release.users_hurt,
                "answered_a_second": release.answered_a_second.round(),
                "our_failures": release.our_failures,
                "flagger_s": release.flagger.seconds(),
                "argo_rollouts_s": release.argo_rollouts.seconds(),
            })
        });
        json!({
            "case": self.case.name(),
            "in_words": self.case.in_words(),
            "requests_per_second": self.rate,
            "users": self.users,
            "watched_s": self.case.watched().as_secs(),
            "seconds": self.ours(),
            "decided_s": self.decided(),
            "flagger_s": self.flagger(),
            "argo_rollouts_s": self.argo_rollouts(),
            "releases": releases.collect::<Vec<_>>(),
        })
    }
}

/// The load of the machine over the last minute, by /proc/loadavg: other work on it
/// makes everything here slower.
pub fn load_average() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").during("read /proc/loadavg")?;
    let first = text.split(' ').next().unwrap_or_default();
    first.parse().during("read /proc/loadavg")
}

pub fn json(rows: &[Row], seed: u64, busy_before: f64) -> Result<Value> {
    let mut figures = Map::new();
    for row in rows {
        let name = format!("rollback_s_{}_{}rps", row.case.name(), row.rate);
        for (whose, spread) in [
            ("", row.ours()),
            ("flagger_", row.flagger()),
            ("argo_", row.argo_rollouts()),
        ] {
            figures.insert(format!("{whose}{name}"), json!(spread.median));
        }
    }
    let cores = std::thread::available_parallelism().during("count cores")?;
    Ok(json!({
        "measured": "seconds from the first bad answer of a canary at 10%, bad from its first request on, to the last request that it gets; medians",
        "load": format!(
            "open loop through one Envoy with two workers; each request is a POST of one digit image (64 numbers, Open Inference Protocol) by one of the users, each as likely as the other, so that a user sends one in {SECONDS_BETWEEN_REQUESTS} s on average; model servers answer in 2 ms (median)"
        ),
        "rollout": "everything at its default but the model files, which are named",
        "profile": "judge, model servers and load in the dev profile (own code at opt-level 1, the judge at 2, statistics at 3, dependencies at 2); the filter in its wasm profile",
        "peers": {
            "note": "simulated by their documented rules on the same traffic; past what was seen of it the canary goes on as it was (drawn at random, by the seed); null: promoted, since nothing in the rule sees it",
            "flagger": flagger::RULE.words(),
            "argo_rollouts": argo_rollouts::RULE.words(),
        },
        "seed": seed,
        "cores": cores,
        "load_average_before": busy_before,
        "cases": rows.iter().map(Row::json).collect::<Vec<_>>(),
        "figures": figures,
    }))
}

pub fn markdown(rows: &[Row]) -> String {
    let mut lines = vec![
        "| the new version | requests/s | Serinus | Flagger's rule (simulated) | Argo Rollouts' rule (simulated) |".to_owned(),
        "| --- | --- | --- | --- | --- |".to_owned(),
    ];
    for row in rows {
        let peer = |spread: Spread, verdict: fn(&Release) -> Verdict| {
            let never = |release: &Release| verdict(release) == Verdict::Promoted;
            if row.releases.iter().all(never) {
                "never: promotes it".to_owned()
            } else {
                spread.in_words()
            }
        };
        lines.push(format!(
            "| {} | {} | **{}** | {} | {} |",
            row.case.in_words(),
            row.rate,
            row.ours().in_words(),
            peer(row.flagger(), |release| release.flagger),
            peer(row.argo_rollouts(), |release| release.argo_rollouts),
        ));
    }
    lines.join("\n")
}
