//! Somebody at a terminal: a judge of their own, and the command.

use serde_json::Value;
use serinus_tests::artefacts;
use serinus_tests::judge::Judge;
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

pub const ID: &str = "digits";

/// Nobody listens there.
pub const NOWHERE: &str = "http://127.0.0.1:1";

pub struct Desk {
    folder: TempDir,
    pub judge: Judge,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub error: String,
}

impl Desk {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Whose judge has more options.
    pub async fn with(options: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut judge = Judge::new(folder.path()).unwrap();
        for (name, value) in options {
            judge.option(name, value);
        }
        judge.start().await.unwrap();
        Self { folder, judge }
    }

    /// Whose judge has TLS, with a certificate of this authority for `localhost`, and asks
    /// for a token, which is this one's.
    pub async fn secured(options: &[(&str, &str)], ca: &Path, token: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut judge = Judge::new(folder.path()).unwrap();
        for (name, value) in options {
            judge.option(name, value);
        }
        judge.token(Some(token));
        judge.trust(ca).unwrap();
        judge.start().await.unwrap();
        Self { folder, judge }
    }

    /// With the rollout `digits` at its first step.
    pub async fn with_rollout() -> Self {
        let desk = Self::start().await;
        desk.judge.create(&spec()).await.unwrap();
        desk
    }

    /// A file by its path.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(artefacts::program("serinus").unwrap());
        command
            .args(arguments)
            .env("SERINUS_JUDGE", self.judge.address())
            .current_dir(self.folder.path());
        command
    }

    pub async fn run(&self, arguments: &[&str]) -> Said {
        self.run_with(arguments, "").await
    }

    /// With this on its standard input.
    pub async fn run_with(&self, arguments: &[&str], input: &str) -> Said {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A command that reads nothing has closed it.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said {
            code: output.status.code().unwrap(),
            out: text(&output.stdout),
            error: text(&output.stderr),
        }
    }

    /// What the judge knows, without what changes by itself.
    pub async fn state(&self) -> Vec<(String, String, u64)> {
        let reply = self.judge.call(reqwest::Method::GET, "/v1/rollouts", None);
        let reply = reply.await.unwrap();
        let all = reply.body.as_array().unwrap().iter();
        all.map(|status| {
            let text = |name: &str| status[name].as_str().unwrap().to_owned();
            (text("id"), text("phase"), status["step"].as_u64().unwrap())
        })
        .collect()
    }
}

impl Said {
    /// It worked; what it printed.
    #[track_caller]
    pub fn done(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// It failed with this code, in words that have these in them, on one line.
    #[track_caller]
    pub fn failed(&self, code: i32, words: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.error.contains(words), "`{words}` is not in {self:?}");
        assert!(!self.error.contains("panicked"), "{self:?}");
    }

    #[track_caller]
    pub fn json(self) -> Value {
        serde_json::from_str(&self.done()).unwrap()
    }
}

/// Steps that no traffic decides while a test runs.
pub fn spec() -> Value {
    serde_json::json!({
        "id": ID,
        "match": {"path_prefix": "/v2/models/digits/"},
        "unit": [{"header": "x-user-id"}],
        "arms": [{"name": "control", "version": "v1"}, {"name": "canary", "version": "v2"}],
        "steps": [{"weights": {"canary": 10}}, {"weights": {"canary": 100}}]
    })
}
