//! The whole judge in virtual time: the filter's and the judge's own code, with nothing
//! simulated but clock, traffic, network and disk.

mod agenda;
mod cases;
mod judge;
mod release;
mod table;
mod traffic;
mod version;
mod worker;

use crate::progress::Progress;
use crate::{COMPLETE, Options};
use cases::{Case, Right};
use rayon::prelude::*;
use release::{End, Ended};
use serinus_sim::summary::{Times, upper95};
use serinus_tests::failure::Result;
pub use table::markdown;
use traffic::{SECOND, Traffic};

/// One case at one traffic.
pub struct Row {
    pub case: Case,
    pub traffic: Traffic,
    pub runs: Vec<Ended>,
}

pub fn run(options: &Options, progress: &Progress) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for case in cases::all() {
        for &(traffic, wanted) in &case.runs {
            let what = format!("{}, {}", case.name, traffic.name);
            // So many in a complete run, and a part of them in a shorter one.
            let runs = (wanted * options.runs / COMPLETE).clamp(2, wanted);
            let runs = progress.runs(&what, runs, |runs| {
                runs.into_par_iter()
                    .map(|run| release::run(&case, traffic, options.seed, run))
                    .collect()
            });
            let runs: Result<Vec<Ended>> = runs.into_iter().collect();
            let row = Row {
                case: case.clone(),
                traffic,
                runs: runs?,
            };
            rows.push(row);
        }
    }
    Ok(rows)
}

/// The bound of how often a good version is taken back, all cases together.
pub fn false_rollback_upper95(rows: &[Row]) -> Option<f64> {
    let good = || rows.iter().filter(|row| row.case.right.is_good());
    let runs: usize = good().map(|row| row.runs.len()).sum();
    let taken_back: u64 = good().map(|row| row.times(End::TakenBack).hits()).sum();
    (runs > 0).then(|| upper95(taken_back, runs as u64))
}

// === impl Row ===

impl Row {
    /// In how many runs it ended so, and after how many seconds.
    pub fn times(&self, end: End) -> Times {
        self.measured(end, |ended| ended.took_us as f64 / SECOND as f64)
    }

    /// The same in requests.
    pub fn requests(&self, end: End) -> Times {
        self.measured(end, |ended| ended.requests as f64)
    }

    /// Requests to the new version, however the release ended.
    pub fn served(&self) -> Times {
        Times::of(self.runs.iter().map(|ended| Some(ended.served as f64)))
    }

    fn measured(&self, end: End, of: impl Fn(&Ended) -> f64) -> Times {
        let runs = self.runs.iter();
        Times::of(runs.map(|ended| (ended.end == end).then(|| of(ended))))
    }

    /// How it ends where the judge is right.
    pub fn right_end(&self) -> End {
        if self.case.right.is_good() {
            End::Promoted
        } else {
            End::TakenBack
        }
    }

    pub fn undecided(&self) -> impl Iterator<Item = &Ended> {
        let ended = self.runs.iter();
        ended.filter(|ended| matches!(ended.end, End::Paused | End::Open))
    }

    /// Those that ended as they must not: what is undecided is only slow.
    pub fn wrong(&self) -> impl Iterator<Item = &Ended> {
        let right = self.case.right;
        self.runs.iter().filter(move |ended| match right {
            Right::Promote => ended.end == End::TakenBack,
            Right::TakeBack => ended.end == End::Promoted,
            Right::TakeBackAtOnce => ended.step > 0 || ended.end == End::Promoted,
        })
    }
}
