//! A real Prometheus that scrapes what a test names.

use crate::failure::{During, Result};
use crate::process::Process;
use crate::{artefacts, ports, wait};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(60);

pub struct Prometheus {
    process: Process,
    address: String,
    http: reqwest::Client,
}

/// A time series that a query gave: its labels and its last value.
#[derive(Debug)]
pub struct Found {
    pub labels: Value,
    pub value: f64,
}

impl Prometheus {
    /// Scrapes twice a second. Each job is as in Prometheus' own configuration, which is
    /// YAML, and so takes JSON.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(folder: &Path, jobs: &[Value]) -> Result<Self> {
        let config = json!({
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
            "scrape_configs": jobs,
        });
        let file = folder.join("prometheus.yaml");
        std::fs::write(&file, config.to_string()).during("write prometheus.yaml")?;
        let port = ports::free()?;
        let mut command = Command::new(artefacts::prometheus()?);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("prometheus").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=warn");
        let mut process = Process::start("prometheus", command, folder)?;
        let address = format!("http://127.0.0.1:{port}");
        let http = reqwest::Client::new();
        wait::until("Prometheus", LIMIT, async || {
            process.check_running()?;
            let ready = http.get(format!("{address}/-/ready")).send().await;
            Ok(ready
                .is_ok_and(|ready| ready.status().is_success())
                .then_some(()))
        })
        .await?;
        Ok(Self {
            process,
            address,
            http,
        })
    }

    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// # Errors
    /// A query that Prometheus does not understand.
    pub async fn query(&self, query: &str) -> Result<Vec<Found>> {
        let answer = self.get("query", &[("query", query)]).await?;
        let results = answer["data"]["result"].as_array().cloned();
        let found = results.unwrap_or_default().into_iter().map(|result| {
            let value = result["value"][1].as_str().unwrap_or_default();
            Found {
                labels: result["metric"].clone(),
                value: value.parse().unwrap_or(f64::NAN),
            }
        });
        Ok(found.collect())
    }

    /// What is scraped, as Prometheus sees it: `up`, and the last error if not.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn targets(&self) -> Result<Vec<Value>> {
        let answer = self.get("targets", &[]).await?;
        let targets = answer["data"]["activeTargets"].as_array().cloned();
        Ok(targets.unwrap_or_default())
    }

    async fn get(&self, what: &str, query: &[(&str, &str)]) -> Result<Value> {
        let encoded = query.iter().map(|(name, value)| {
            let value: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
            format!("{name}={value}")
        });
        let encoded = encoded.collect::<Vec<_>>().join("&");
        let url = format!("{}/api/v1/{what}?{encoded}", self.address);
        let text = self.http.get(url).send().await?.text().await?;
        let answer: Value = serde_json::from_str(&text).during("read Prometheus' answer")?;
        if answer["status"] != "success" {
            return Err(format!("{query:?}: {answer}").into());
        }
        Ok(answer)
    }
}
