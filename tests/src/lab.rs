//! Envoy, a judge and two model servers, together and apart from every other lab.

use crate::envoy::{self, Edit, Envoy, Upstreams};
use crate::failure::{During, Result};
use crate::judge::Judge;
use crate::load::{self, Load, Versions};
use crate::model_server::{self, ModelServer};
use crate::process::Process;
use crate::{artefacts, digits, ports};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub const CONTROL: &str = "control";
pub const CANARY: &str = "canary";

pub const VERSIONS: Versions = Versions {
    control: "v1",
    canary: "v2",
};

/// The model files of the two arms, in `tests/models`.
pub const CONTROL_MODEL: &str = "digits-v1.json";
pub const CANARY_MODEL: &str = "digits-v2.json";

pub struct Lab {
    // Fields drop in this order: the load first, the folder with the logs last.
    pub control: ModelServer,
    pub canary: ModelServer,
    pub envoy: Envoy,
    pub judge: Judge,
    pub images: Vec<digits::Image>,
    latency_ms: f64,
    folder: TempDir,
}

#[derive(Debug, Clone)]
pub struct Settings {
    /// The median time of the model servers' answers.
    pub latency_ms: f64,
    /// The share of requests that fail in both arms, as in life.
    pub error_rate: f64,
    pub concurrency: u8,
    /// What Envoy loads as the filter; the real one when there is none.
    pub wasm: Option<PathBuf>,
    /// Whether the judge runs from the start.
    pub judge: bool,
    /// The port of the `shadow` cluster; without one nobody listens there.
    pub shadow: Option<u16>,
    /// What is otherwise in Envoy's configuration.
    pub edits: Vec<Edit>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            latency_ms: 2.0,
            error_rate: 0.0,
            concurrency: 2,
            wasm: None,
            judge: true,
            shadow: None,
            edits: Vec::new(),
        }
    }
}

/// Sigma of the logarithm of a model server's latency: wide enough that the
/// shares of slow answers are about the servers and not about how two cores are
/// shared.
const LATENCY_SPREAD: f64 = 0.4;

impl Lab {
    /// # Errors
    /// When a part does not come up, with the end of its log.
    pub async fn start(settings: &Settings) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("serinus-lab-")
            .tempdir()
            .during("make a folder")?;
        let server = |name, model, version, seed| model_server::Settings {
            name,
            model,
            version,
            latency_ms: settings.latency_ms,
            latency_spread: LATENCY_SPREAD,
            error_rate: settings.error_rate,
            seed,
        };
        let control = server("control", CONTROL_MODEL, VERSIONS.control, 1);
        let canary = server("canary", CANARY_MODEL, VERSIONS.canary, 2);
        let (control, canary) = tokio::try_join!(
            ModelServer::start(folder.path(), &control),
            ModelServer::start(folder.path(), &canary),
        )?;
        let mut judge = Judge::new(folder.path())?;
        if settings.judge {
            judge.start().await?;
        }
        let upstreams = Upstreams {
            control: control.port()?,
            canary: canary.port()?,
            shadow: settings.shadow.map_or_else(ports::free, Ok)?,
            judge: judge.port(),
        };
        let wasm = match &settings.wasm {
            Some(wasm) => wasm.clone(),
            None => artefacts::wasm()?,
        };
        let envoy = Envoy::start(
            folder.path(),
            &envoy::Settings {
                upstreams,
                wasm: &wasm,
                concurrency: settings.concurrency,
                edits: &settings.edits,
            },
        )
        .await?;
        Ok(Self {
            control,
            canary,
            envoy,
            judge,
            images: digits::read()?,
            latency_ms: settings.latency_ms,
            folder,
        })
    }

    /// The median time of a well server's answers.
    #[must_use]
    pub fn latency_ms(&self) -> f64 {
        self.latency_ms
    }

    /// Logs, the judge's store and saved bundles.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// # Errors
    /// When Envoy's address is none.
    pub fn load(&self, requests_per_second: u32, users: u32) -> Result<Load> {
        let settings = load::Settings {
            address: self.envoy.address().to_owned(),
            requests_per_second,
            users,
            seed: 1,
        };
        Load::start(&settings, VERSIONS, &self.images)
    }

    /// The ends of all logs, for a failure.
    #[must_use]
    pub fn log_tails(&self) -> String {
        [
            Some(self.control.process()),
            Some(self.canary.process()),
            Some(self.envoy.process()),
            self.judge.process(),
        ]
        .into_iter()
        .flatten()
        .map(Process::log_tail)
        .collect::<Vec<_>>()
        .join("\n")
    }

    /// Keeps the folder when the lab ends, and says where it is.
    pub fn keep_folder(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }
}

impl Drop for Lab {
    /// A test that fails shows what the processes said.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log_tails());
        }
    }
}
