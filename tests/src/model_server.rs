//! A model server of the lab (`tests/model-server`).

use crate::failure::{During, Result};
use crate::process::Process;
use crate::{artefacts, ports};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use tokio::process::Command;

pub struct ModelServer {
    process: Process,
    address: String,
    http: reqwest::Client,
}

/// What a server is started with. Faults come later, by [`ModelServer::set_faults`].
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name of its process and log.
    pub name: &'static str,
    /// The file with the model's description, in `tests/models`.
    pub model: &'static str,
    pub version: &'static str,
    /// The median time of an answer.
    pub latency_ms: f64,
    /// The sigma of the latency's logarithm.
    pub latency_spread: f64,
    pub error_rate: f64,
    pub seed: u64,
}

/// All requests that the server saw.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct Counts {
    pub requests: u64,
    pub ok: u64,
    pub errors: u64,
    pub units: u64,
}

/// The faults that a server is set to; it has more.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Faults {
    pub error_rate: f64,
}

/// What one user saw, in milliseconds since 1970.
#[derive(Debug, Clone, Deserialize)]
pub struct Unit {
    pub requests: u64,
    pub errors: u64,
    pub first_ms: u64,
    pub last_ms: u64,
    #[serde(default)]
    pub first_error_ms: Option<u64>,
}

impl ModelServer {
    /// # Errors
    /// When it does not come up.
    pub async fn start(folder: &Path, settings: &Settings) -> Result<Self> {
        let mut command = Command::new(artefacts::program("model-server")?);
        command
            .arg("--model")
            .arg(artefacts::models().join(settings.model))
            .args(["--name", crate::load::MODEL])
            .args(["--version", settings.version])
            .args(["--latency-ms", &settings.latency_ms.to_string()])
            .args(["--latency-spread", &settings.latency_spread.to_string()])
            .args(["--error-rate", &settings.error_rate.to_string()])
            .args(["--unit-header", crate::load::USER_HEADER])
            .args(["--seed", &settings.seed.to_string()])
            .args(["--listen", "127.0.0.1:0"]);
        let ready = "model-server listening on ";
        let (process, address) =
            Process::start_until(settings.name, command, folder, ready).await?;
        Ok(Self {
            process,
            address,
            http: reqwest::Client::new(),
        })
    }

    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// # Errors
    /// When the address that the server printed has no port.
    pub fn port(&self) -> Result<u16> {
        ports::of(&self.address)
    }

    /// Changes the faults that `faults` names, such as `{"error_rate": 0.1}`.
    ///
    /// # Errors
    /// When the server refuses them.
    pub async fn set_faults(&self, faults: &Value) -> Result<()> {
        self.http
            .post(format!("{}/lab/faults", self.address))
            .json(faults)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .during("set a model server's faults")?;
        Ok(())
    }

    /// # Errors
    /// When the server does not answer.
    pub async fn faults(&self) -> Result<Faults> {
        self.get("faults").await
    }

    /// # Errors
    /// When the server does not answer.
    pub async fn counts(&self) -> Result<Counts> {
        self.get("counts").await
    }

    /// Every user that the server saw, by key.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn units(&self) -> Result<BTreeMap<String, Unit>> {
        self.get("units").await
    }

    /// Forgets counts and users; faults stay.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn reset(&self) -> Result<()> {
        self.http
            .post(format!("{}/lab/reset", self.address))
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .during("reset a model server")?;
        Ok(())
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, what: &str) -> Result<T> {
        self.http
            .get(format!("{}/lab/{what}", self.address))
            .send()
            .await?
            .json()
            .await
            .during(&format!("read a model server's {what}"))
    }
}
