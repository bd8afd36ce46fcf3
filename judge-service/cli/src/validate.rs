//! `serinus validate`: whether a rollout makes sense, without a judge.

use crate::documents::{self, Document};
use crate::failure::Failure;
use crate::output::{Format, OutputOption, print, yaml};
use serinus_judge::domain::check::Unsound;
use serinus_judge::domain::plan::routable;
use serinus_judge::domain::{Rollout, RolloutSpec};
use serinus_judge::forecast;
use serinus_judge::reading;
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Validate {
    /// Rollouts as YAML or JSON, one or several in a file; - reads standard input
    #[arg(long = "file", short, value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Print each rollout whole, with all that is assumed where it says nothing
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

impl Validate {
    /// Everything is looked at, whatever is wrong before.
    pub fn run(&self) -> Result<(), Failure> {
        let mut wrong = Vec::new();
        let mut right: Vec<RolloutSpec> = Vec::new();
        for path in &self.files {
            match documents::all(path) {
                Err(failure) => wrong.push(failure),
                Ok(documents) => {
                    for document in documents {
                        match checked(&document) {
                            Ok(spec) if right.iter().any(|other| other.id == spec.id) => {
                                let problem =
                                    format!("id: `{}` stands in another document too", spec.id);
                                wrong.push(Failure::Failed(document.say(&problem)));
                            }
                            Ok(spec) => right.push(spec),
                            Err(failure) => wrong.push(failure),
                        }
                    }
                }
            }
        }
        self.show(&right)?;
        Failure::all(wrong)
    }

    fn show(&self, right: &[RolloutSpec]) -> Result<(), Failure> {
        match (self.output, right) {
            (Format::Table, right) => {
                let lines = right.iter().flat_map(|spec| {
                    let warnings = warnings(spec).into_iter();
                    core::iter::once(sentence(spec)).chain(warnings)
                });
                print(&lines.map(|line| line + "\n").collect::<String>())
            }
            // One document after the other, as a file has them.
            (Format::Yaml, right) => {
                let texts: Result<Vec<String>, Failure> = right.iter().map(yaml).collect();
                print(&texts?.join("---\n"))
            }
            // One after the other, as `apply -f` reads them again.
            (output, all) => {
                let mut each = all.iter();
                each.try_for_each(|spec| OutputOption { output }.print(spec, String::new))
            }
        }
    }
}

fn checked(document: &Document) -> Result<RolloutSpec, Failure> {
    read(document.json()).map_err(|wrong| document.wrong(&wrong))
}

/// What the judge checks but for its other rollouts and its models.
fn read(json: &str) -> Result<RolloutSpec, Unsound> {
    let spec = reading::checked_spec(json.as_bytes())?;
    forecast::check(&spec)?;
    let rollout = Rollout::start(spec, BTreeMap::new(), 1, 0)?;
    routable(&rollout, &"0".repeat(32))?;
    Ok(rollout.spec)
}

/// What may go otherwise than the spec has it, though not for sure.
fn warnings(spec: &RolloutSpec) -> Vec<String> {
    let Some(expected) = &spec.expected else {
        return Vec::new();
    };
    let warnings = forecast::warnings(spec, expected).into_iter();
    warnings
        .map(|words| format!("{}: warning: {words}", spec.id))
        .collect()
}

fn sentence(spec: &RolloutSpec) -> String {
    let steps: Vec<String> = spec
        .steps
        .iter()
        .map(|step| {
            let weights = step.weights.iter();
            let weights: Vec<String> = weights
                .map(|(arm, percent)| format!("{arm} {percent}%"))
                .collect();
            if weights.is_empty() {
                "copies only".to_owned()
            } else {
                weights.join(" and ")
            }
        })
        .collect();
    format!("{}: makes sense; steps: {}", spec.id, steps.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"id": "digits", "match": {"path_prefix": "/v2/"},
        "unit": [{"header": "x-user-id"}], "arms": [{"name": "control"}, {"name": "canary"}]}"#;

    #[test]
    fn says_the_steps_that_are_assumed() {
        assert_eq!(
            sentence(&read(GOOD).unwrap()),
            "digits: makes sense; steps: canary 10%, canary 25%, canary 75%, canary 100%"
        );
    }

    #[test]
    fn what_is_in_doubt_is_a_warning() {
        assert_eq!(warnings(&read(GOOD).unwrap()), [""; 0]);
        let expected = r#""expected": {"requests_per_minute": 40, "error_rate": 0.0025, "users_per_day": 5000}"#;
        let doubtful = GOOD.replacen('{', &format!("{{{expected}, "), 1);
        let warnings = warnings(&read(&doubtful).unwrap());
        assert!(
            warnings[0].contains("digits: warning: ") && warnings[0].contains("at best"),
            "{warnings:?}"
        );
    }

    #[test]
    fn what_only_the_plan_shows_is_seen_too() {
        for (good, bad, field) in [
            ("x-user-id", "x user", "unit[0].header"),
            ("\"arms\"", "\"steeps\": [], \"arms\"", "steeps"),
            ("\"control\"", "\"canary\"", "arms[1].name"),
            (
                "/v2/\"",
                "/v2/\", \"path_regex\": \"(\"",
                "match.path_regex",
            ),
        ] {
            let error = read(&GOOD.replacen(good, bad, 1)).unwrap_err();
            assert_eq!(error.first().field, field, "{error}");
        }
    }
}
