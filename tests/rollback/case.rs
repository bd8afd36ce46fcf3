//! What is wrong with the new version, from its first request on.

use clap::ValueEnum;
use serde_json::{Value, json};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Case {
    /// Half of its requests fail, and none of the old version's
    Errors50,
    /// 5% of its requests fail, and 1% of the old version's
    Errors5,
    /// It answers 200, quickly, and wrongly
    Wrong,
}

pub const CASES: [Case; 3] = [Case::Errors50, Case::Errors5, Case::Wrong];

impl Case {
    /// As figures have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Errors50 => "errors50",
            Self::Errors5 => "errors5",
            Self::Wrong => "wrong",
        }
    }

    pub fn in_words(self) -> &'static str {
        match self {
            Self::Errors50 => "50% errors, over a base of 0%",
            Self::Errors5 => "5% errors, over a base of 1%",
            Self::Wrong => "wrong predictions, with 200 OK",
        }
    }

    /// The share of the old version's requests that fail.
    pub fn base_errors(self) -> f64 {
        match self {
            Self::Errors5 => 0.01,
            Self::Errors50 | Self::Wrong => 0.0,
        }
    }

    /// The share of the new version's requests that fail.
    pub fn errors(self) -> f64 {
        match self {
            Self::Errors50 => 0.5,
            Self::Errors5 => 0.05,
            Self::Wrong => 0.0,
        }
    }

    /// What its model server is set to.
    pub fn faults(self) -> Value {
        let fault = match self {
            Self::Wrong => "wrong-preprocessing",
            Self::Errors50 | Self::Errors5 => "none",
        };
        json!({"error_rate": self.errors(), "fault": fault})
    }

    /// A release that was not taken back by then never was, for this benchmark.
    pub fn watched(self) -> Duration {
        Duration::from_secs(match self {
            Self::Errors50 => 120,
            Self::Errors5 | Self::Wrong => 600,
        })
    }
}
