//! A real Envoy that runs `envoy/envoy.yaml` or `envoy/ecds.yaml`, on ports of its own.

mod config;

use crate::failure::{During, Result};
use crate::process::Process;
use crate::{artefacts, wait};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;

pub use config::{
    Edit, Upstreams, bootstrap, ecds_bootstrap, filter as filter_file, judge_secret, with_judge,
    xds_plugin,
};

/// V8 compiles the filter once for each worker before the listener opens.
const READY_LIMIT: Duration = Duration::from_secs(60);

pub struct Envoy {
    process: Process,
    folder: PathBuf,
    address: String,
    admin: String,
    http: reqwest::Client,
}

pub struct Settings<'a> {
    pub upstreams: Upstreams,
    /// The filter's module; a file that is no module shows how Envoy fails open.
    pub wasm: &'a Path,
    pub concurrency: u8,
    /// What else is other than in `envoy/envoy.yaml`.
    pub edits: &'a [Edit],
}

impl Envoy {
    /// # Errors
    /// When it does not come up, with the end of its log.
    pub async fn start(folder: &Path, settings: &Settings<'_>) -> Result<Self> {
        let filter = folder.join("serinus.yaml");
        write(&filter, &config::filter(settings.wasm, false)?)?;
        let bootstrap = config::bootstrap(settings.upstreams, &filter, settings.edits)?;
        Self::with(folder, &bootstrap, settings.concurrency).await
    }

    /// An Envoy that gets its filter from the judge, who then has the module's path
    /// ([`xds_plugin`]).
    ///
    /// # Errors
    /// When it does not come up, with the end of its log.
    pub async fn start_ecds(folder: &Path, settings: &Settings<'_>) -> Result<Self> {
        let bootstrap = config::ecds_bootstrap(settings.upstreams, settings.edits)?;
        Self::with(folder, &bootstrap, settings.concurrency).await
    }

    /// An Envoy with a bootstrap configuration of the caller's own, with port 0
    /// for its listener and its admin interface.
    ///
    /// # Errors
    /// When it does not come up, with the end of its log.
    pub async fn with(folder: &Path, bootstrap: &str, concurrency: u8) -> Result<Self> {
        let file = folder.join("envoy.yaml");
        write(&file, bootstrap)?;
        let admin_file = folder.join("envoy-admin");
        let mut command = Command::new(artefacts::envoy()?);
        command
            .arg("--config-path")
            .arg(&file)
            .arg("--admin-address-path")
            .arg(&admin_file)
            .args(["--concurrency", &concurrency.to_string()])
            // Several labs run on one machine, and each Envoy is a new one.
            .arg("--disable-hot-restart")
            .args([
                "--log-level",
                "warning",
                "--component-log-level",
                "wasm:info",
            ]);
        let mut process = Process::start("envoy", command, folder)?;
        let http = reqwest::Client::new();
        let admin = wait::until("Envoy's admin address", READY_LIMIT, async || {
            process.check_running()?;
            Ok(fs::read_to_string(&admin_file)
                .ok()
                .filter(|address| address.contains(':')))
        })
        .await?;
        let admin = format!("http://{}", admin.trim());
        let address = wait::until("Envoy's listener", READY_LIMIT, async || {
            process.check_running()?;
            listener(&http, &admin).await
        })
        .await
        .map_err(|error| format!("{error}\n{}", process.log_tail()))?;
        Ok(Self {
            process,
            folder: folder.to_owned(),
            address,
            admin,
            http,
        })
    }

    /// Where users send their requests: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where its admin interface is, such as `http://127.0.0.1:9901`.
    #[must_use]
    pub fn admin(&self) -> &str {
        &self.admin
    }

    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Turns the operator's kill switch, the way `serinus.yaml` says; returns when
    /// Envoy has taken the file.
    ///
    /// # Errors
    /// When Envoy does not take it.
    pub async fn set_disabled(&self, disabled: bool, wasm: &Path) -> Result<()> {
        let before = self.statistic(UPDATES).await?;
        let next = self.folder.join("serinus.new");
        write(&next, &config::filter(wasm, disabled)?)?;
        fs::rename(&next, self.folder.join("serinus.yaml")).during("rename serinus.new")?;
        wait::until("Envoy to take serinus.yaml", READY_LIMIT, async || {
            Ok((self.statistic(UPDATES).await? > before).then_some(()))
        })
        .await
    }

    /// A counter or gauge of Envoy's; 0 when it does not exist yet.
    ///
    /// # Errors
    /// When the admin interface does not answer.
    pub async fn statistic(&self, name: &str) -> Result<u64> {
        let url = format!("{}/stats?filter=^{}$", self.admin, name.replace('.', "\\."));
        let text = self.http.get(url).send().await?.text().await?;
        let value = text.trim().rsplit(": ").next().unwrap_or_default();
        if value.is_empty() {
            return Ok(0);
        }
        value.parse().during(&format!("read the statistic {name}"))
    }

    /// The filter's statistics, as Prometheus reads them.
    ///
    /// # Errors
    /// When the admin interface does not answer.
    pub async fn prometheus(&self) -> Result<String> {
        let url = format!("{}/stats/prometheus?filter=serinus", self.admin);
        Ok(self.http.get(url).send().await?.text().await?)
    }

    /// All that the admin interface shows of the configuration.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn config_dump(&self) -> Result<String> {
        let url = format!("{}/config_dump?include_eds", self.admin);
        Ok(self.http.get(url).send().await?.text().await?)
    }

    /// Runs `envoy --mode validate` on a configuration as it is in the repository.
    ///
    /// # Errors
    /// What Envoy says is wrong.
    pub async fn validate(file: &str) -> Result<()> {
        let output = Command::new(artefacts::envoy()?)
            .current_dir(artefacts::root())
            .args(["--mode", "validate", "--config-path", file])
            .output()
            .await
            .during("run envoy --mode validate")?;
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
        }
    }
}

/// How often Envoy took a new filter configuration.
const UPDATES: &str = "extension_config_discovery.http_filter.serinus.config_reload";

/// The listener's address once Envoy is ready: until then the port is 0.
async fn listener(http: &reqwest::Client, admin: &str) -> Result<Option<String>> {
    // Not there yet is not wrong: the caller checks that Envoy runs.
    let Ok(ready) = http.get(format!("{admin}/ready")).send().await else {
        return Ok(None);
    };
    if !ready.status().is_success() {
        return Ok(None);
    }
    let listeners: Value = http
        .get(format!("{admin}/listeners?format=json"))
        .send()
        .await?
        .json()
        .await?;
    let port = listeners
        .pointer("/listener_statuses/0/local_address/socket_address/port_value")
        .and_then(Value::as_u64)
        .filter(|&port| port != 0);
    Ok(port.map(|port| format!("http://127.0.0.1:{port}")))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).during(&format!("write {}", path.display()))
}
