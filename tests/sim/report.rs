//! What was found, as figures for a machine; `table.rs` has them for people.

use crate::row::Row;
use crate::{Options, other, promotion, whole};
use serde_json::{Map, Value, json};
use serinus_sim::summary::Times;

pub struct Report {
    pub runs: u64,
    pub seed: u64,
    pub seconds: f64,
    pub evaluation: Option<f64>,
    pub rollback: Vec<Row>,
    pub detection: Vec<Row>,
    pub other: Vec<other::Row>,
    pub promotion: Vec<promotion::Row>,
    pub whole: Vec<whole::Row>,
}

pub const OURS: &str = "ours, alpha 0.05";
const KNOWN_ALONE: &str = "late_control_known_alone";

impl Report {
    pub fn new(options: &Options) -> Self {
        Self {
            runs: options.runs,
            seed: options.seed,
            seconds: 0.0,
            evaluation: None,
            rollback: Vec::new(),
            detection: Vec::new(),
            other: Vec::new(),
            promotion: Vec::new(),
            whole: Vec::new(),
        }
    }

    /// The numbers that the project is measured by.
    pub fn figures(&self) -> Value {
        let mut figures = Map::new();
        for row in &self.rollback {
            let Some(ours) = row.rule(OURS) else { continue };
            if row.world.name == KNOWN_ALONE {
                figures.insert(
                    "late_control_known_alone_false_rollback".to_owned(),
                    json!(ours.rate()),
                );
            } else {
                figures.insert(
                    format!("false_rollback_upper95_{}", row.world.name),
                    json!(ours.upper95()),
                );
            }
        }
        let latency = self
            .other
            .iter()
            .find(|row| row.name == "latency" && row.rule.ends_with("alpha 0.05"));
        if let Some(row) = latency {
            figures.insert(
                "false_rollback_upper95_latency".to_owned(),
                json!(row.times.upper95()),
            );
        }
        let worst = |values: Vec<f64>| values.into_iter().reduce(f64::max);
        let to_oracle = |rule: &str| {
            worst(
                self.detection
                    .iter()
                    .filter_map(|row| row.to_oracle(rule))
                    .collect(),
            )
        };
        if let Some(ratio) = to_oracle("ours, alpha 0.001") {
            figures.insert("detection_to_oracle_iid".to_owned(), json!(ratio));
        }
        if let Some(ratio) = to_oracle("one process, alpha 0.001") {
            figures.insert(
                "detection_to_oracle_iid_one_process".to_owned(),
                json!(ratio),
            );
        }
        let at_margin = || self.promotion.iter().filter(|row| !row.is_good());
        if let Some(upper) = worst(at_margin().map(|row| row.policy.upper95()).collect()) {
            figures.insert("false_promotion_upper95".to_owned(), json!(upper));
        }
        if let Some(upper) = worst(at_margin().map(|row| row.sequence.upper95()).collect()) {
            figures.insert(
                "false_promotion_upper95_sequence_alone".to_owned(),
                json!(upper),
            );
        }
        if let Some(upper) = whole::false_rollback_upper95(&self.whole) {
            figures.insert("whole_false_rollback_upper95".to_owned(), json!(upper));
        }
        if let Some(milliseconds) = self.evaluation {
            figures.insert("evaluation_ms".to_owned(), json!(milliseconds));
        }
        Value::Object(figures)
    }

    pub fn json(&self) -> Value {
        let rules = |rules: &[(String, Times)]| -> Value {
            let one = |(name, times): &(String, Times)| (name.clone(), spread(times));
            Value::Object(rules.iter().map(one).collect())
        };
        let rollback: Vec<Value> = self
            .rollback
            .iter()
            .map(|row| {
                json!({
                    "world": row.world.name,
                    "is": row.world.words,
                    "taken_back": rules(&row.rules),
                })
            })
            .collect();
        let detection: Vec<Value> = self
            .detection
            .iter()
            .map(|row| {
                json!({
                    "world": row.world.name,
                    "ratio": row.world.ratio,
                    "requests": rules(&row.rules),
                })
            })
            .collect();
        let other: Vec<Value> = self
            .other
            .iter()
            .map(|row| {
                json!({
                    "world": row.name,
                    "is": row.words,
                    "rule": row.rule,
                    "is_worse": row.is_worse,
                    "requests": spread(&row.times),
                })
            })
            .collect();
        let promotion: Vec<Value> = self
            .promotion
            .iter()
            .map(|row| {
                json!({
                    "world": row.promotion.name,
                    "is": row.promotion.words,
                    "ratio": row.promotion.ratio,
                    "margin": row.promotion.margin,
                    "sequence": spread(&row.sequence),
                    "policy": spread(&row.policy),
                    "pooled": spread(&row.pooled),
                })
            })
            .collect();
        json!({
            "seed": self.seed,
            "runs": self.runs,
            "seconds": self.seconds.round(),
            "figures": self.figures(),
            "rollback": rollback,
            "detection": detection,
            "other": other,
            "promotion": promotion,
            "whole": self.whole.iter().map(whole::Row::json).collect::<Vec<_>>(),
        })
    }
}

fn spread(times: &Times) -> Value {
    json!({
        "runs": times.runs(),
        "hits": times.hits(),
        "rate": times.rate(),
        "upper95": times.upper95(),
        "median": times.quantile(0.5),
        "ninety": times.quantile(0.9),
    })
}
