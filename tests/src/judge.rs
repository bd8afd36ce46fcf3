//! The judge: its process, and its API as a client sees it.

mod secure;
pub mod status;

use crate::failure::{During, Result};
use crate::process::Process;
use crate::{artefacts, ports, wait};
use reqwest::Method;
use secure::Secure;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;

pub use status::{Decision, Example, Status};

/// How long the judge may take to answer before that counts as a failure.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// A judge with a store and a port that survive it.
pub struct Judge {
    folder: PathBuf,
    port: u16,
    models: Option<PathBuf>,
    store: String,
    command: Option<Vec<OsString>>,
    options: Vec<String>,
    environment: Vec<(&'static str, String)>,
    token: Option<String>,
    secure: Option<Secure>,
    process: Option<Process>,
    http: reqwest::Client,
}

/// An answer of the API, whatever it says.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub content_type: String,
    pub body: Value,
}

impl Reply {
    fn new((status, content_type, text): secure::Said) -> Self {
        Self {
            status,
            content_type,
            body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        }
    }
}

impl Judge {
    /// A judge that does not run yet, with a port of its own.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn new(folder: &Path) -> Result<Self> {
        Ok(Self {
            folder: folder.to_owned(),
            port: ports::free()?,
            store: folder.join("judge.sqlite").display().to_string(),
            models: None,
            command: None,
            options: Vec::new(),
            environment: Vec::new(),
            token: None,
            secure: None,
            process: None,
            http: reqwest::Client::builder()
                .timeout(CALL_LIMIT)
                .build()
                .during("make an HTTP client")?,
        })
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The page's address.
    #[must_use]
    pub fn address(&self) -> String {
        match self.secure {
            None => format!("http://127.0.0.1:{}", self.port),
            Some(_) => format!("https://localhost:{}", self.port),
        }
    }

    #[must_use]
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// The folder of its models, from its next start on.
    pub fn models(&mut self, folder: &Path) {
        self.models = Some(folder.to_owned());
    }

    /// Where it keeps everything, from its next start on: a path, or the URL of a
    /// database. Without this it is a file of its own.
    pub fn store(&mut self, store: &str) {
        store.clone_into(&mut self.store);
    }

    #[must_use]
    pub fn stored_at(&self) -> &str {
        &self.store
    }

    /// Another option of `serinus serve`, from its next start on.
    pub fn option(&mut self, name: &str, value: &str) {
        self.options.extend([name.to_owned(), value.to_owned()]);
    }

    /// One without a value.
    pub fn flag(&mut self, name: &str) {
        self.options.push(name.to_owned());
    }

    /// Who calls it, for a judge that asks.
    pub fn token(&mut self, token: Option<&str>) {
        self.token = token.map(str::to_owned);
    }

    /// It speaks TLS, with a certificate of this authority for `localhost`.
    ///
    /// # Errors
    /// When the authority cannot be read.
    pub fn trust(&mut self, ca: &Path) -> Result<()> {
        self.secure = Some(Secure::new(ca)?);
        Ok(())
    }

    /// What runs `serinus`, such as `taskset -c 0 .../serinus`, from its next start on.
    pub fn command(&mut self, words: impl IntoIterator<Item = impl Into<OsString>>) {
        self.command = Some(words.into_iter().map(Into::into).collect());
    }

    /// A variable of its environment, from its next start on.
    pub fn environment(&mut self, name: &'static str, value: &str) {
        self.environment.push((name, value.to_owned()));
    }

    /// Starts the judge, or starts it again on the same store and port.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(&mut self) -> Result<()> {
        let words = match &self.command {
            Some(words) => words.clone(),
            None => vec![artefacts::program("serinus")?.into()],
        };
        let (program, first) = words.split_first().ok_or("the judge has no command")?;
        let mut command = Command::new(program);
        command
            .args(first)
            .args(["serve", "--listen", &format!("127.0.0.1:{}", self.port)])
            .args(["--store", &self.store])
            .arg("--models")
            .arg(self.models.clone().unwrap_or_else(artefacts::models))
            .args(&self.options)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        let ready = "serinus judge listening on ";
        let (process, _) = Process::start_until("judge", command, &self.folder, ready).await?;
        self.process = Some(process);
        Ok(())
    }

    /// SIGKILL: the judge has no moment to put anything in order.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill().await,
            None => Err("the judge does not run, so it cannot be killed".into()),
        }
    }

    /// Waits until it has ended by itself; its exit code.
    ///
    /// # Errors
    /// When it does not run, or does not end.
    pub async fn ended(&mut self) -> Result<Option<i32>> {
        match self.process.take() {
            Some(mut process) => process.ended().await,
            None => Err("the judge does not run, so it cannot end".into()),
        }
    }

    /// Sends a request and returns whatever the judge says.
    ///
    /// # Errors
    /// When it says nothing.
    pub async fn call(&self, method: Method, path: &str, body: Option<&str>) -> Result<Reply> {
        if let Some(secure) = &self.secure {
            let (url, token) = (format!("{}{path}", self.address()), self.token.as_deref());
            let said = secure.call(method.as_str(), &url, token, body).await?;
            return Ok(Reply::new(said));
        }
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.address()));
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_owned());
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.during(&format!("call {path}"))?;
        let status = response.status().as_u16();
        let content_type = response
            .headers()
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let text = response.text().await.during(&format!("read {path}"))?;
        Ok(Reply::new((status, content_type, text)))
    }

    /// # Errors
    /// When the judge refuses the rollout.
    pub async fn create(&self, spec: &Value) -> Result<Status> {
        self.expect(Method::POST, "/v1/rollouts", Some(&spec.to_string()))
            .await
    }

    /// # Errors
    /// When the judge does not answer or does not know the rollout.
    pub async fn status(&self, id: &str) -> Result<Status> {
        self.get(&format!("/v1/rollouts/{id}")).await
    }

    /// `promote`, `pause`, `resume` or `abort`.
    ///
    /// # Errors
    /// When the judge refuses.
    pub async fn act(&self, id: &str, action: &str, reason: &str) -> Result<Status> {
        let body = json!({ "reason": reason }).to_string();
        let path = format!("/v1/rollouts/{id}/{action}");
        self.expect(Method::POST, &path, Some(&body)).await
    }

    /// # Errors
    /// When the judge does not answer or does not know the rollout.
    pub async fn decisions(&self, id: &str) -> Result<Vec<Decision>> {
        self.get(&format!("/v1/rollouts/{id}/decisions")).await
    }

    /// Disagreements between a server and its model file, newest first.
    ///
    /// # Errors
    /// When the judge does not answer or does not know the rollout.
    pub async fn examples(&self, id: &str) -> Result<Vec<Example>> {
        self.get(&format!("/v1/rollouts/{id}/examples")).await
    }

    /// Waits until each worker routes by the newest plan.
    ///
    /// # Errors
    /// When that takes longer than `limit`.
    pub async fn converged(&self, id: &str, workers: u32, limit: Duration) -> Result<Status> {
        wait::until("all workers to have the plan", limit, async || {
            let status = self.status(id).await?;
            let delivery = &status.delivery;
            let all = delivery.converged >= workers && delivery.converged == delivery.workers;
            Ok(all.then_some(status))
        })
        .await
    }

    /// Saves a decision's evidence bundle and lets `serinus replay` judge it again.
    /// Returns what that printed.
    ///
    /// # Errors
    /// When the replay comes to another verdict.
    pub async fn replay(&self, id: &str, sequence: u64) -> Result<String> {
        let bundle: Value = self
            .get(&format!("/v1/rollouts/{id}/decisions/{sequence}"))
            .await?;
        let file = self.folder.join(format!("{id}-{sequence}.json"));
        std::fs::write(&file, bundle.to_string()).during("save a bundle")?;
        let output = Command::new(artefacts::program("serinus")?)
            .arg("replay")
            .arg(&file)
            .output()
            .await
            .during("run serinus replay")?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if output.status.success() {
            Ok(said)
        } else {
            let wrong = String::from_utf8_lossy(&output.stderr);
            Err(format!("replay of {} differs: {said} {wrong}", file.display()).into())
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.expect(Method::GET, path, None).await
    }

    async fn expect<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&str>,
    ) -> Result<T> {
        let reply = self.call(method, path, body).await?;
        if !(200..300).contains(&reply.status) {
            return Err(format!("{path}: {} {}", reply.status, reply.body).into());
        }
        serde_json::from_value(reply.body).during(&format!("read the answer of {path}"))
    }
}
