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

mod act;
mod apply;
mod assign;
mod audit;
mod decisions;
#[cfg(test)]
mod deploy_tests;
mod documents;
mod explain;
mod failure;
mod files;
mod get;
mod judge;
mod manifest;
mod output;
mod plan;
mod replay;
mod runtime;
mod serve;
mod shell;
mod simulate;
mod table;
mod token;
mod validate;
mod view;
mod watch;
mod words;
mod workers;

use clap::{CommandFactory, Parser, Subcommand};
use failure::{EXIT_CODES, Failure};
use std::process::ExitCode;

/// Reports are many small lists, made on one thread and freed together: glibc's allocator
/// takes a third of a report's time for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(
    name = "serinus",
    version,
    about = "Canary releases for machine-learning models, decided by evidence",
    after_help = EXIT_CODES
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the judge
    Serve(Box<serve::Serve>),
    /// Start the rollouts of a file, or say that they run already
    Apply(apply::Apply),
    /// Say whether the rollouts of a file make sense, without a judge
    Validate(validate::Validate),
    /// Say what the fields of a rollout are, and what is assumed without them
    Explain(explain::Explain),
    /// Show all rollouts, or one with its arms, metrics and verdict
    Get(get::Get),
    /// Show what was decided of a rollout, when and why (`serinus audit` says who it was)
    Decisions(decisions::Decisions),
    /// Show which worker of which proxy has which plan
    Workers(workers::Workers),
    /// Watch rollouts move: a page on a terminal, a line a change elsewhere
    Watch(watch::Watch),
    /// Go on to the next step now
    Promote(act::Act),
    /// Say yes to the next step of a rollout that asks a person to look first
    Approve(act::Act),
    /// Stay at this step; only a rollback is still automatic
    Pause(act::Act),
    /// Let the judge go on with a paused rollout
    Resume(act::Act),
    /// Take the new version back from everybody
    Abort(act::Act),
    /// Make a promoted version the baseline
    Finish(act::Act),
    /// Take one arm of several back
    Drop(act::Drop),
    /// Stop or start the copying of requests and answers
    Sampling(act::Sampling),
    /// Forget a rollout that is over
    Delete(act::Delete),
    /// Say which arm, bucket and segment units get, and why
    Assign(assign::Assign),
    /// Judge a stored decision again: exit code 0 when the verdict is the same
    Replay(replay::Replay),
    /// Say how long each step of a rollout will take, and what will be caught
    Simulate(simulate::Simulate),
    /// Write the plan that is out for an Envoy that gets its configuration by hand
    Plan(plan::Plan),
    /// Write configurations for proxies
    Manifest(manifest::Manifest),
    /// Show who did what and why, and check that the record is whole
    Audit(audit::Audit),
    /// Make tokens that let people and proxies in
    Token(token::TokenCommand),
    /// Write what a shell completes commands by
    Completions(shell::Completions),
    /// Write manual pages
    Man(shell::Man),
}

fn main() -> ExitCode {
    let done = command_line().and_then(|cli| run(cli.command));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if failure != Failure::Closed {
                output::complain(&failure.to_string());
            }
            failure.exit_code()
        }
    }
}

/// With what the file of `serve --config` adds.
fn command_line() -> Result<Cli, Failure> {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    let command = Cli::command();
    let matches = command.clone().get_matches_from(&arguments);
    if let Some(("serve", given)) = matches.subcommand()
        && let Some(serve) = command.find_subcommand("serve")
        && let Some(more) = serve::file::arguments(serve, given).map_err(Failure::Usage)?
    {
        arguments.extend(more);
    }
    Ok(Cli::parse_from(arguments))
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(serve) => serve.run().map_err(Failure::from),
        Command::Apply(apply) => apply.run(),
        Command::Validate(validate) => validate.run(),
        Command::Explain(explain) => explain.run(),
        Command::Get(get) => get.run(),
        Command::Decisions(decisions) => decisions.run(),
        Command::Workers(workers) => workers.run(),
        Command::Watch(watch) => watch.run(),
        Command::Promote(act) => act.run("promote"),
        Command::Approve(act) => act.run("approve"),
        Command::Pause(act) => act.run("pause"),
        Command::Resume(act) => act.run("resume"),
        Command::Abort(act) => act.run("abort"),
        Command::Finish(act) => act.run("finish"),
        Command::Drop(drop) => drop.run(),
        Command::Sampling(sampling) => sampling.run(),
        Command::Delete(delete) => delete.run(),
        Command::Assign(assign) => assign.run(),
        Command::Replay(replay) => replay.run(),
        Command::Simulate(simulate) => simulate.run(),
        Command::Plan(plan) => plan.run(),
        Command::Manifest(manifest) => manifest.run(),
        Command::Audit(audit) => audit.run(),
        Command::Token(token) => token.run(),
        Command::Completions(completions) => completions.run(Cli::command()),
        Command::Man(man) => man.run(Cli::command()),
    }
}
