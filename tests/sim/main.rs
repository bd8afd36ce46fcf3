//! `make sim`: the statistics of STATISTICS.md again, with peers in the same run.
//!
//! Writes `target/bench/statistics.json`, the table and the pictures; a complete run
//! also puts the latter two where the documentation has them.

mod detection;
mod drawing;
mod evaluation;
mod other;
mod pictures;
mod progress;
mod promotion;
mod report;
mod rollback;
mod row;
mod table;
mod whole;

use clap::{Parser, ValueEnum};
use progress::Progress;
use report::Report;
use serinus_tests::artefacts;
use serinus_tests::failure::Result;

/// Below this a run is for a developer's eyes and changes no documentation.
const COMPLETE: u64 = 4_000;

#[derive(Parser)]
#[command(about = "Simulated releases: ours and its peers, world by world")]
pub struct Options {
    /// Runs of each world in which the canary is no worse
    #[arg(long, default_value_t = COMPLETE, value_parser = clap::value_parser!(u64).range(1..))]
    pub runs: u64,
    /// All random numbers follow from it
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// One part alone
    #[arg(long, value_enum)]
    pub only: Option<Part>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// False rollbacks, ours and peers'
    Rollback,
    /// Requests until a regression is caught
    Detection,
    /// Latency, mismatches, sparse errors and drift
    Other,
    /// A canary at the margin, and a good one
    Promotion,
    /// Filter and judge, in virtual time
    Whole,
    /// The time that one evaluation takes
    Evaluation,
}

fn main() {
    let options = Options::parse();
    if let Err(error) = run(&options) {
        eprintln!("sim: {error}");
        std::process::exit(1);
    }
}

fn run(options: &Options) -> Result<()> {
    println!(
        "sim: seed {}, {} runs of each world without a regression",
        options.seed, options.runs
    );
    let wanted = |part| options.only.is_none_or(|only| only == part);
    let progress = Progress::start();
    let mut report = Report::new(options);
    if wanted(Part::Evaluation) {
        // First, while nothing else heats the processor.
        report.evaluation = Some(evaluation::median_ms()?);
    }
    if wanted(Part::Rollback) {
        report.rollback = rollback::run(options, &progress);
    }
    if wanted(Part::Detection) {
        report.detection = detection::run(options, &progress);
    }
    if wanted(Part::Other) {
        report.other = other::run(options, &progress);
    }
    if wanted(Part::Promotion) {
        report.promotion = promotion::run(options, &progress);
    }
    if wanted(Part::Whole) {
        report.whole = whole::run(options, &progress)?;
    }
    report.seconds = progress.seconds();
    let root = artefacts::root();
    let bench = root.join("target/bench");
    std::fs::create_dir_all(&bench)?;
    std::fs::write(
        bench.join("statistics.json"),
        serde_json::to_string_pretty(&report.json())? + "\n",
    )?;
    let mut folders = vec![bench];
    if options.only.is_none() && options.runs >= COMPLETE {
        folders.push(root.join("judge-service/stats/docs"));
    }
    for folder in folders {
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("simulations.md"), report.markdown())?;
        if let Some(picture) = pictures::false_rollbacks(&report.rollback) {
            std::fs::write(folder.join("false-rollbacks.svg"), picture)?;
        }
        if let Some(picture) = pictures::detection(&report.detection, &report.rollback) {
            std::fs::write(folder.join("detection.svg"), picture)?;
        }
    }
    println!("\n{}", serde_json::to_string_pretty(&report.figures())?);
    println!("written to target/bench/statistics.json");
    Ok(())
}
