//! `serinus assign`: which arm, bucket and segment a unit gets, and why.

mod input;
mod sink;
mod who;

use crate::failure::Failure;
use crate::files;
use crate::judge::{Call, JudgeOption};
use crate::output::{Format, OutputOption, complain};
use crate::table::Table;
use crate::{runtime, words};
use indicatif::{ProgressBar, ProgressStyle};
use input::{Columns, Units};
use serde::Serialize;
use serinus_core::json::{FieldError, read_tolerant};
use serinus_core::plan::Plan;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use who::{Assigner, Assignment, Headers, assigner};

/// Between two moves of the progress bar, in units.
const MOVE: u64 = 8_192;

#[derive(clap::Args)]
pub struct Assign {
    /// The rollout
    rollout: String,
    /// Units: values of the key by which the rollout keeps users apart
    #[arg(
        value_name = "UNIT",
        required_unless_present = "file",
        conflicts_with_all = ["file", "to", "column", "header_columns"]
    )]
    units: Vec<String>,
    /// Ask a plan in this file, as GET /v1/plan or `serinus plan` gives it, and no judge
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Units from a file, one a line, or with --column a table; - reads standard input
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The file is CSV with a heading, and this column has the units
    #[arg(long, value_name = "NAME", requires = "file")]
    column: Option<String>,
    /// What the requests have beside the unit, where segments ask for it, such as
    /// 'x-card: gold'; `:path` and `:authority` are headers too
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, Vec<u8>)>,
    /// A header that each row has in a column of its own, such as x-card=card
    #[arg(long = "header-column", value_name = "NAME=COLUMN", requires = "column", value_parser = header_column)]
    header_columns: Vec<(String, String)>,
    /// Where to write what a file's units get: a .csv or a .parquet [default: CSV to
    /// standard output]
    #[arg(long, value_name = "FILE", requires = "file")]
    to: Option<PathBuf>,
    #[command(flatten)]
    judge: JudgeOption,
    #[command(flatten)]
    output: OutputOption,
}

/// What a program reads of one unit.
#[derive(Serialize)]
struct Found<'a> {
    unit: &'a str,
    rollout: &'a str,
    arm: &'a str,
    segment: Option<&'a str>,
    why: &'static str,
    because: String,
    randomised: bool,
    bucket: u16,
    slot: u8,
    salt: &'a str,
    epoch: u64,
    plan: &'a str,
}

impl Assign {
    pub fn run(&self) -> Result<(), Failure> {
        let assigner = assigner(self.plan()?, &self.rollout)?;
        match &self.file {
            Some(_) if self.output.output != Format::Table => Err(Failure::Usage(
                "--output: is for units on the command line; what a file's get is CSV, or what --to names"
                    .to_owned(),
            )),
            None => self.explain(&assigner),
            Some(path) => self.stream(&assigner, path),
        }
    }

    fn plan(&self) -> Result<Plan, Failure> {
        match &self.plan {
            Some(path) => read_plan(&files::read("--plan", path)?)
                .map_err(|error| files::within("--plan", path, &error)),
            None => {
                let judge = self.judge.open()?;
                let answer = runtime::run(judge.call(Call::get("/v1/plan/public")))?.accepted()?;
                Ok(
                    read_plan(&answer.body)
                        .map_err(|error| format!("the judge's plan: {error}"))?,
                )
            }
        }
    }

    fn explain(&self, assigner: &Assigner) -> Result<(), Failure> {
        let found: Vec<Found<'_>> = self
            .units
            .iter()
            .map(|unit| {
                let assignment = assigner.assign(unit.as_bytes(), &self.headers);
                self.found(assigner, unit, &assignment)
            })
            .collect();
        self.output.print(&found, || {
            let mut table = Table::new(["UNIT", "ARM", "SEGMENT", "BUCKET", "WHY"]);
            for found in &found {
                table.row([
                    found.unit.to_owned(),
                    found.arm.to_owned(),
                    found.segment.unwrap_or_default().to_owned(),
                    found.bucket.to_string(),
                    found.because.clone(),
                ]);
            }
            table.text(0)
        })
    }

    fn found<'a>(
        &'a self,
        assigner: &'a Assigner,
        unit: &'a str,
        assignment: &Assignment<'a>,
    ) -> Found<'a> {
        Found {
            unit,
            rollout: &self.rollout,
            arm: assignment.arm,
            segment: assignment.segment,
            why: assignment.why(),
            because: assignment.because(),
            randomised: assignment.fallback.is_none(),
            bucket: assignment.bucket,
            slot: assignment.slot,
            salt: assigner.salt(),
            epoch: assigner.epoch(),
            plan: &assigner.revision,
        }
    }

    fn stream(&self, assigner: &Assigner, path: &Path) -> Result<(), Failure> {
        let (reader, bar) = open(path)?;
        let reader = bar.wrap_read(reader);
        let mut units = match &self.column {
            None => Units::lines(reader),
            Some(column) => {
                let columns = self.header_columns.iter();
                let columns = Columns {
                    unit: column,
                    headers: columns.map(|(_, column)| column.as_str()).collect(),
                };
                Units::table(reader, &columns)?
            }
        };
        let mut sink = sink::open(self.to.as_deref())?;
        let mut counts = vec![0u64; assigner.arms().len()];
        let mut headers: Headers = self.headers.clone();
        let mut done: u64 = 0;
        while let Some(row) = units.next()? {
            headers.truncate(self.headers.len());
            let own = self.header_columns.iter().zip(row.headers);
            // An empty cell is a header that is not there.
            let own = own.filter(|(_, value)| !value.is_empty());
            headers.extend(own.map(|((name, _), value)| (name.clone(), value)));
            let assignment = assigner.assign(&row.unit, &headers);
            sink.write(&row.unit, &assignment)?;
            let arm = assigner.arms().iter().position(|arm| arm == assignment.arm);
            if let Some(count) = arm.and_then(|arm| counts.get_mut(arm)) {
                *count += 1;
            }
            done += 1;
            if done.is_multiple_of(MOVE) {
                bar.set_message(format!("{} units", words::count(done)));
            }
        }
        sink.finish()?;
        bar.finish_and_clear();
        complain(&summary(assigner, done, &counts));
        Ok(())
    }
}

fn summary(assigner: &Assigner, done: u64, counts: &[u64]) -> String {
    let arms = assigner.arms().iter().zip(counts);
    let arms: Vec<String> = arms
        .map(|(arm, &count)| {
            let share = words::share(count, done);
            format!("{arm} {} ({share})", words::count(count))
        })
        .collect();
    format!(
        "{} units by plan {}: {}",
        words::count(done),
        assigner.revision,
        arms.join(", ")
    )
}

/// What is read, and a bar that a terminal shows.
fn open(path: &Path) -> Result<(Box<dyn Read>, ProgressBar), Failure> {
    let shown = std::io::stderr().is_terminal();
    let style = |template: &str| {
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
    };
    if path.as_os_str() == "-" {
        let bar = if shown {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::hidden()
        };
        let bar = bar.with_style(style("{spinner} {bytes} {bytes_per_sec} {msg}"));
        return Ok((Box::new(std::io::stdin()), bar));
    }
    let failed = |error: &std::io::Error| {
        Failure::of_input(path, error).map(|problem| format!("--file: {problem}"))
    };
    let file = File::open(path).map_err(|error| failed(&error))?;
    let length = file.metadata().map_err(|error| failed(&error))?.len();
    let bar = if shown {
        ProgressBar::new(length)
    } else {
        ProgressBar::hidden()
    };
    let bar = bar.with_style(style("[{bar:40}] {percent}% {msg}, {eta} left"));
    Ok((Box::new(file), bar))
}

/// A plan, or a plugin configuration with one in it.
fn read_plan(bytes: &[u8]) -> Result<Plan, FieldError> {
    let inner = serde_json::from_slice::<serde_json::Value>(bytes).ok();
    let inner = inner.and_then(|value| value.get("plan").map(ToString::to_string));
    let (plan, _) = match inner {
        Some(plan) => read_tolerant(plan.as_bytes()).map_err(|error| error.below("plan"))?,
        None => read_tolerant(bytes)?,
    };
    Ok(plan)
}

fn header(text: &str) -> Result<(String, Vec<u8>), String> {
    // A name may begin with a colon, as :path does.
    let start = usize::from(text.starts_with(':'));
    let (name, value) = text
        .get(start..)
        .and_then(|rest| rest.split_once(':'))
        .ok_or("a name, a colon and a value are right, such as 'x-card: gold'")?;
    let prefix = if start == 1 { ":" } else { "" };
    let name = format!("{prefix}{}", name.trim().to_ascii_lowercase());
    Ok((name, value.trim().as_bytes().to_vec()))
}

fn header_column(text: &str) -> Result<(String, String), String> {
    let (name, column) = text
        .split_once('=')
        .ok_or("a name, = and a column are right, such as x-card=card")?;
    Ok((name.trim().to_ascii_lowercase(), column.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_as_people_write_them() {
        let right = |name: &str, value: &str| Ok((name.to_owned(), value.as_bytes().to_vec()));
        assert_eq!(header("X-Card: gold"), right("x-card", "gold"));
        assert_eq!(header(":path: /v2/?a=b:c"), right(":path", "/v2/?a=b:c"));
        header("x-card").unwrap_err();
        header_column("x-card").unwrap_err();
    }

    #[test]
    fn a_plan_within_a_configuration() {
        let plan = r#"{"version": 1, "revision": {"generation": 1, "counter": 7},
            "report_interval_ms": 100, "rollouts": [], "later": 1}"#;
        assert_eq!(read_plan(plan.as_bytes()).unwrap().revision.counter, 7);
        let within = format!(r#"{{"judge": {{}}, "plan": {plan}}}"#);
        assert_eq!(read_plan(within.as_bytes()).unwrap().revision.counter, 7);
        let error = read_plan(br#"{"plan": {"version": "1"}}"#).unwrap_err();
        assert!(error.field.starts_with("plan."), "{error}");
        read_plan(b"{").unwrap_err();
    }
}
