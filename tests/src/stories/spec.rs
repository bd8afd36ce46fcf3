//! The rollout that all stories apply.

use crate::lab::{CANARY, CANARY_MODEL, CONTROL, CONTROL_MODEL, VERSIONS};
use crate::load::{MODEL, USER_HEADER};
use serde_json::{Value, json};

/// Margins are the user's to set, and these suit 30,000 users whose service fails
/// at 0.5%: the canary may fail in up to 2% of requests, be up to half slower (it
/// is taken back for more than a quarter: two processes on two busy cores are not
/// equally fast by themselves), and answer otherwise than its model file in up to 1%. Nothing else is loosened: how
/// sure the judge must be stands at its defaults.
const MARGIN_ERRORS: f64 = 0.02;
const TOLERATED_SLOWDOWN: f64 = 0.25;
const MARGIN_SLOWDOWN: f64 = 0.5;
const MARGIN_DISAGREEMENT: f64 = 0.01;

const STEP_SECONDS: u32 = 5;
const STEP_EXPOSURES: u32 = 500;

/// Each story has a host of its own, so that its rollout stands beside the others.
pub fn host(rollout: &str) -> String {
    format!("{rollout}.demo")
}

pub fn rollout(id: &str) -> Value {
    json!({
        "id": id,
        "match": {"host": host(id), "path_prefix": format!("/v2/models/{MODEL}/")},
        "unit": [{"header": USER_HEADER}],
        "salt": id,
        "arms": [
            {"name": CONTROL, "version": VERSIONS.control, "model": CONTROL_MODEL},
            {"name": CANARY, "version": VERSIONS.canary, "model": CANARY_MODEL},
        ],
        "steps": [
            {"weights": {CANARY: 10}}, {"weights": {CANARY: 25}},
            {"weights": {CANARY: 75}}, {"weights": {CANARY: 100}},
        ],
        "minimum": {"seconds": STEP_SECONDS, "exposures": STEP_EXPOSURES},
        "warm_up": {"seconds": 3, "requests": 1000},
        "guardrails": {
            "errors": {"margin_absolute": MARGIN_ERRORS},
            "latency": {
                "tolerated_slowdown": TOLERATED_SLOWDOWN,
                "slowdown": MARGIN_SLOWDOWN,
            },
            "agreement": {"margin_absolute": MARGIN_DISAGREEMENT},
        },
        "sampling": {"share": 0.5, "per_second": 500},
    })
}

/// What of it a reader should know.
pub fn in_words() -> Vec<String> {
    vec![
        format!(
            "steps 10, 25, 75, 100%, each for at least {STEP_SECONDS} s and {STEP_EXPOSURES} requests of each arm"
        ),
        format!(
            "margins set: errors at most 1.5 x control's, or surely under {:.0}%; taken back for {:.0}% slower, promoted under {:.0}%; answers other than the model file's under {:.0}%",
            MARGIN_ERRORS * 100.0,
            TOLERATED_SLOWDOWN * 100.0,
            MARGIN_SLOWDOWN * 100.0,
            MARGIN_DISAGREEMENT * 100.0,
        ),
        "certainty at its defaults: 1% for a false rollback, 5% for a false promotion, over all looks together".to_owned(),
    ]
}
