//! `serinus`: the judge, and the tools around it. One module for each command.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "a test says what is wrong by panicking"
    )
)]

mod files;
mod plan;
mod replay;
mod serve;
mod simulate;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Reports are many small lists, made on one thread and freed together: glibc's allocator
/// takes a third of a report's time for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(
    name = "serinus",
    version,
    about = "Canary releases for machine-learning models, decided by evidence"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the judge
    Serve(serve::Serve),
    /// Judge a stored decision again: exit code 0 when the verdict is the same
    Replay(replay::Replay),
    /// Say how long each step of a rollout will take, and what will be caught
    Simulate(simulate::Simulate),
    /// Write the plan that is out for an Envoy that gets its configuration by hand
    Plan(plan::Plan),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Replay(replay) => replay.run(),
        Command::Simulate(simulate) => simulate.run(),
        Command::Plan(plan) => plan.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("serinus: {problem}");
            ExitCode::FAILURE
        }
    }
}
