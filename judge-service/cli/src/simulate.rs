//! `serinus simulate`: what a rollout will take, before it starts.

use crate::documents;
use crate::failure::Failure;
use crate::output::{Format, OutputOption};
use serinus_judge::simulate;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Simulate {
    /// A rollout as YAML or JSON; - reads standard input
    #[arg(
        value_name = "FILE",
        required_unless_present = "file",
        conflicts_with = "file"
    )]
    spec: Option<PathBuf>,
    /// The same, as other commands take it
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Of all arms together; otherwise the spec's expected.requests_per_minute
    #[arg(long, value_parser = above_zero)]
    requests_per_minute: Option<f64>,
    /// Control's share of requests that fail [default: the spec's, or 0.01]
    #[arg(long, value_parser = above_zero)]
    error_rate: Option<f64>,
    /// Different users a day, of whom one in twenty has most of the errors [default: the
    /// spec's, or each request is a user's own]
    #[arg(long, value_parser = above_zero)]
    users_per_day: Option<f64>,
    /// How many times as often a bad version fails
    #[arg(long, default_value_t = 2.0, value_parser = above_zero)]
    ratio: f64,
    /// Simulated releases of each kind
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The same as --output json
    #[arg(long, hide = true)]
    json: bool,
    #[command(flatten)]
    output: OutputOption,
}

fn above_zero(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "a number is right".to_owned())?;
    if number > 0.0 && number <= 1e12 {
        Ok(number)
    } else {
        Err("a number above 0 is right, and below 1e12".to_owned())
    }
}

impl Simulate {
    pub fn run(&self) -> Result<(), Failure> {
        let path = self.spec.as_ref().or(self.file.as_ref());
        let path = path.ok_or_else(|| Failure::Usage("a file is right".to_owned()))?;
        let spec = documents::one(path)?;
        let beside = simulate::Asked {
            requests_per_minute: self.requests_per_minute,
            error_rate: self.error_rate,
            users_per_day: self.users_per_day,
            ratio: self.ratio,
            runs: self.runs,
            seed: self.seed,
        };
        let found = simulate::simulate(spec.json().as_bytes(), &beside)
            .map_err(|error| spec.wrong(&error))?;
        let output = match self.json {
            true => OutputOption {
                output: Format::Json,
            },
            false => OutputOption {
                output: self.output.output,
            },
        };
        output.print(&found, || found.to_string())
    }
}
