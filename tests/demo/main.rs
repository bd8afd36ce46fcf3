//! `make demo`: three releases of a real model in a real Envoy, one after the other.
//!
//! Exits 0 only if all three ended as they should and no request failed because
//! of Serinus or Envoy.

mod summary;
mod timeline;

use clap::Parser;
use serinus_tests::failure::Result;
use serinus_tests::lab::{Lab, Settings};
use serinus_tests::stories::{self, Stage};
use std::process::ExitCode;
use timeline::Timeline;

const USERS: u32 = 30_000;
const REQUESTS_PER_SECOND: u32 = 1_000;
/// Failures of both arms that nobody's release is to blame for.
const NATURAL_ERRORS: f64 = 0.005;

/// Three releases of a real model in a real Envoy: one that is wrong but answers
/// 200, a good one through a shared incident, and a broken one whose judge dies.
#[derive(Parser)]
#[command(name = "demo")]
struct Flags {
    /// Leave everything running afterwards, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    let told = tokio::select! {
        told = tell() => told,
        _ = tokio::signal::ctrl_c() => Err("stopped; all processes are ended".into()),
    };
    let (stage, good) = match told {
        Ok(told) => told,
        Err(error) => {
            eprintln!("demo: {error}");
            return ExitCode::FAILURE;
        }
    };
    if flags.keep {
        println!();
        println!(
            "everything runs on until Ctrl-C: the page is at {}/, logs are in {}",
            stage.lab.judge.address(),
            stage.lab.folder().display()
        );
        let _ = tokio::signal::ctrl_c().await;
    }
    stage.load.stop();
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The stage, and whether all went as it should.
async fn tell() -> Result<(Stage, bool)> {
    println!("starting two model servers, the judge and Envoy ...");
    let settings = Settings {
        error_rate: NATURAL_ERRORS,
        ..Settings::default()
    };
    let lab = Lab::start(&settings).await?;
    let mut stage = Stage::new(lab, USERS, REQUESTS_PER_SECOND, NATURAL_ERRORS)?;
    println!();
    println!("  watch it at  {}/", stage.lab.judge.address());
    println!("  users go to  {}", stage.lab.envoy.address());
    println!();
    println!(
        "{USERS} users send {REQUESTS_PER_SECOND} real digit images a second; {}% fail in both versions, as in life",
        NATURAL_ERRORS * 100.0
    );
    let mut screen = Timeline::new();
    let ends = [
        stories::wrong_but_200::tell(&mut stage, &mut screen).await?,
        stories::shared_incident::tell(&mut stage, &mut screen).await?,
        stories::judge_dead::tell(&mut stage, &mut screen).await?,
    ];
    let good = summary::print(&ends);
    Ok((stage, good))
}
