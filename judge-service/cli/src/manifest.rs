//! `serinus manifest`: configurations for proxies, from the repository's own.

mod address;
mod envoy;
mod istio;
mod istio_command;
mod to_judge;

use crate::documents;
use crate::failure::Failure;
use crate::get;
use crate::judge::JudgeOption;
use crate::output::print;
use crate::runtime;
use address::{Address, ArmAddress};
use clap::Subcommand;
use envoy::{Envoy, Source};
use istio_command::IstioCommand;
use serinus_judge::domain::RolloutSpec;
use serinus_judge::reading;
use std::path::{Path, PathBuf};
use to_judge::ToJudge;

#[derive(clap::Args)]
pub struct Manifest {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// A complete Envoy with a route and a cluster for each arm of a rollout
    Envoy(Box<EnvoyCommand>),
    /// The filter in Istio's proxies, and routes that match the arm header
    Istio(Box<IstioCommand>),
    /// The file that such an Envoy loads its filter from, unless the judge gives it
    Filter(FilterCommand),
}

/// The rollout that a manifest is for.
#[derive(clap::Args)]
struct Which {
    /// A rollout that the judge has
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    id: Option<String>,
    /// A rollout in a file, YAML or JSON; - reads standard input
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    judge: JudgeOption,
}

#[derive(clap::Args)]
struct EnvoyCommand {
    #[command(flatten)]
    which: Which,
    /// Where an arm is served; one for each
    #[arg(long = "address", value_name = "ARM=HOST:PORT", required = true)]
    addresses: Vec<ArmAddress>,
    /// Where requests come in
    #[arg(long, default_value = "127.0.0.1:10000", value_name = "HOST:PORT")]
    listen: Address,
    /// Where Envoy's statistics are, for this machine alone
    #[arg(long, default_value = "127.0.0.1:9901", value_name = "HOST:PORT")]
    admin: Address,
    /// Where proxies reach the judge
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "HOST:PORT")]
    judge_address: Address,
    #[command(flatten)]
    to_judge: ToJudge,
    /// Where copies go, for a rollout with a shadow
    #[arg(long, value_name = "HOST:PORT")]
    shadow_address: Option<Address>,
    /// The proxy's name, by which the judge shows its workers; one for each proxy
    #[arg(long, default_value = "envoy-1", value_name = "NAME")]
    node: String,
    /// Where plans come from
    #[arg(long, value_enum, default_value_t)]
    plans: Source,
    /// Where the proxy has what `serinus manifest filter` prints
    #[arg(long, default_value = "/etc/envoy/serinus.yaml", value_name = "PATH")]
    filter_file: String,
}

#[derive(clap::Args)]
struct FilterCommand {
    /// Where the proxy has the module
    #[arg(
        long,
        default_value = "/etc/envoy/serinus_filter.wasm",
        value_name = "PATH"
    )]
    wasm: String,
}

impl Manifest {
    pub fn run(&self) -> Result<(), Failure> {
        print(&match &self.what {
            What::Envoy(command) => command.text()?,
            What::Istio(command) => command.text()?,
            What::Filter(command) => envoy::filter(&command.wasm)?,
        })
    }
}

impl EnvoyCommand {
    fn text(&self) -> Result<String, Failure> {
        let spec = self.which.spec()?;
        Envoy {
            spec: &spec,
            addresses: &self.addresses,
            listen: &self.listen,
            admin: &self.admin,
            judge: &self.judge_address,
            access: self.to_judge.access(&self.judge_address)?,
            shadow: self.shadow_address.as_ref(),
            node: &self.node,
            source: self.plans,
            filter_file: &self.filter_file,
        }
        .text()
    }
}

impl Which {
    fn spec(&self) -> Result<RolloutSpec, Failure> {
        match (&self.file, &self.id) {
            (Some(path), _) => from_file(path),
            (None, Some(id)) => {
                let judge = self.judge.open()?;
                let status = runtime::run(get::one(&judge, id))?;
                get::read(status.get("spec").unwrap_or(&serde_json::Value::Null))
            }
            (None, None) => Err(Failure::Usage("a rollout or --file is needed".to_owned())),
        }
    }
}

fn from_file(path: &Path) -> Result<RolloutSpec, Failure> {
    let document = documents::one(path)?;
    reading::checked_spec(document.json().as_bytes()).map_err(|wrong| document.wrong(&wrong))
}
