//! `serinus plan`: the plan as files for an Envoy that gets its configuration by hand.

mod hand_out;

use crate::failure::Failure;
use crate::files::{plugin, read, within};
use crate::judge::JudgeOption;
use crate::runtime;
use clap::ValueEnum;
use hand_out::{Form, HandOut};
use serinus_judge::xds;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Plan {
    #[command(flatten)]
    judge: JudgeOption,
    /// What to write
    #[arg(long = "as", value_enum)]
    form: PlanForm,
    /// For plugin-configuration: a file with the filter's settings, to which the plan is
    /// added. JSON as in envoy/serinus.yaml [default: {"judge": {"cluster": "judge"}}]
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// For ecds: a file that says what proxies have where, JSON as for serve --xds-plugin
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,
    /// The file to replace, by renaming a new one over it [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Go on with each new plan; a judge that is away leaves the file as it is
    #[arg(long)]
    watch: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PlanForm {
    /// The filter's plugin configuration
    PluginConfiguration,
    /// A file for Envoy's path_config_source
    Ecds,
}

impl Plan {
    pub fn run(self) -> Result<(), Failure> {
        let usage = |problem: &str| Err(Failure::Usage(problem.to_owned()));
        if self.watch && self.output.is_none() {
            return usage("--watch: needs --output, the file to replace");
        }
        let form = match (self.form, self.settings, self.plugin) {
            (PlanForm::PluginConfiguration, settings, None) => {
                let settings = match settings {
                    None => xds::settings(br#"{"judge": {"cluster": "judge"}}"#)
                        .map_err(|error| error.to_string())?,
                    Some(path) => xds::settings(&read("--settings", &path)?)
                        .map_err(|error| within("--settings", &path, &error))?,
                };
                Form::PluginConfiguration(settings)
            }
            (PlanForm::Ecds, None, Some(path)) => Form::Ecds(plugin("--plugin", &path)?),
            (PlanForm::Ecds, None, None) => {
                return usage("--plugin: is missing; --as ecds needs it");
            }
            (PlanForm::PluginConfiguration, _, Some(_)) => {
                return usage("--plugin: is for --as ecds; --settings is right here");
            }
            (PlanForm::Ecds, Some(_), _) => {
                return usage(
                    "--settings: is for --as plugin-configuration; --plugin has them here",
                );
            }
        };
        let hand_out = HandOut {
            judge: self.judge.open()?,
            form,
            output: self.output,
            watch: self.watch,
        };
        runtime::run(hand_out.run())
    }
}
