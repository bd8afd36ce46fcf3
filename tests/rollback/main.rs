//! `make bench-rollback`: from the first bad answer of a new version to the last request
//! that it gets, through real Envoy, judge and model servers; and what Flagger's and Argo
//! Rollouts' rules, as documented and simulated, make of the same traffic.
//!
//! Writes `target/bench/rollback.json` and prints a Markdown table.

mod case;
mod peers;
mod release;
mod report;
mod spread;

use case::{CASES, Case};
use clap::Parser;
use release::{Bench, Release};
use report::Row;
use serinus_tests::artefacts;
use serinus_tests::failure::{During, Result};
use std::process::ExitCode;

/// The two loads that are measured, in requests a second.
const RATES: [u32; 2] = [200, 2_000];

/// Users in life send a request now and then: here one in 30 s on average.
const SECONDS_BETWEEN_REQUESTS: u32 = 30;

#[derive(Parser)]
#[command(about = "From a bad answer to the last request of its version, beside peers' rules")]
pub struct Options {
    /// Releases of each case at each load
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pub repetitions: u32,
    /// Which users are the canary's follows from it; a new one each time
    #[arg(long)]
    pub seed: Option<u64>,
    /// Only this load, in requests a second
    #[arg(long)]
    pub rate: Option<u32>,
    /// Only this case
    #[arg(long, value_enum)]
    pub case: Option<Case>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let measured = tokio::select! {
        measured = measure(&options) => measured,
        _ = tokio::signal::ctrl_c() => Err("stopped; all processes are ended".into()),
    };
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rollback: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(options: &Options) -> Result<()> {
    let seed = options.seed.unwrap_or_else(serinus_tests::load::now_ms);
    let busy_before = report::load_average()?;
    println!("seed {seed}; load average before: {busy_before}");
    let rates = options.rate.map_or(RATES.to_vec(), |rate| vec![rate]);
    let cases = CASES.into_iter();
    let cases: Vec<Case> = cases
        .filter(|&case| options.case.is_none_or(|only| only == case))
        .collect();
    let mut rows = Vec::new();
    for rate in rates {
        let users = rate * SECONDS_BETWEEN_REQUESTS;
        println!(
            "{rate} requests/s by {users} users: starting Envoy, the judge and two model servers ..."
        );
        let bench = Bench::start(rate, users, seed).await?;
        for &case in &cases {
            let mut releases = Vec::new();
            for number in 1..=options.repetitions {
                let release = bench.release(case, number).await?;
                println!(
                    "  {} at {rate}/s, {number} of {}: {}",
                    case.name(),
                    options.repetitions,
                    release.in_words()
                );
                releases.push(release);
            }
            rows.push(Row::new(case, rate, users, releases));
        }
    }
    let path = artefacts::root().join("target/bench/rollback.json");
    let folder = path.parent().ok_or("target/bench has no parent")?;
    std::fs::create_dir_all(folder).during("make target/bench")?;
    let document = report::json(&rows, seed, busy_before)?;
    std::fs::write(&path, serde_json::to_string_pretty(&document)? + "\n")
        .during("write target/bench/rollback.json")?;
    println!("\n{}", report::markdown(&rows));
    println!("written to target/bench/rollback.json");
    Release::all_as_they_should(rows.iter().flat_map(|row| &row.releases))
}
