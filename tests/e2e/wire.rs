//! A lab for what passes over the wire: real Envoy with the filter and a real judge
//! between clients that write every byte and servers that give it back.

pub mod answer;
pub mod echo;
pub mod fake_judge;
pub mod http1;
pub mod http2;
pub mod options;
pub mod relay;
pub mod websocket;

use crate::world::{LIMIT, arm_of, canary_after, keys, settled_by};
use echo::Echo;
use relay::Relay;
use reqwest::Method;
use serde_json::{Value, json};
use serinus_tests::artefacts;
use serinus_tests::envoy::{self, Edit, Envoy, Upstreams};
use serinus_tests::failure::Result;
use serinus_tests::judge::Judge;
use serinus_tests::lab::{CANARY, CANARY_MODEL, CONTROL, CONTROL_MODEL};
use serinus_tests::load::{Arm, USER_HEADER};
use serinus_tests::wait;
use std::path::Path;
use tempfile::TempDir;

/// The rollout, which takes every request and gives canary half of the users.
pub const ID: &str = "wire";

pub const WORKERS: u64 = 2;

pub struct Wire {
    pub control: Echo,
    pub canary: Echo,
    pub envoy: Envoy,
    pub judge: Judge,
    /// What Envoy reaches the judge through, where that can be cut.
    pub relay: Option<Relay>,
    folder: TempDir,
}

/// How Envoy gets its filter by ECDS.
#[derive(Default)]
pub struct Ecds<'a> {
    pub edits: &'a [Edit],
    /// The judge runs from the start.
    pub judge_runs: bool,
    /// The connection between them can be cut.
    pub relayed: bool,
}

/// What is counted of an arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub exposures: u64,
    pub finished: u64,
    pub errors: u64,
    pub local_replies: u64,
    pub disconnects: u64,
}

pub fn spec() -> Value {
    json!({
        "id": ID,
        "match": {"path_prefix": "/"},
        "unit": [{"header": USER_HEADER}],
        "arms": [
            {"name": CONTROL, "model": CONTROL_MODEL},
            {"name": CANARY, "model": CANARY_MODEL},
        ],
        "steps": [{"weights": {CANARY: 50}}, {"weights": {CANARY: 75}}],
        "minimum": {"seconds": 86_000, "exposures": 500},
        // Failing on purpose must move nobody.
        "breaker": null,
        // The filter copies every body, and the judge has models to run them by.
        "sampling": {"share": 1.0, "per_second": 1_000},
    })
}

/// In the order in which plans and allocations have them.
pub fn arm_names() -> [&'static str; 2] {
    [CONTROL, CANARY]
}

/// The arm of a user at the rollout's first step.
pub fn arm_at_half(key: &str) -> Arm {
    arm_of(&canary_after(&[50]), key, ID)
}

/// The first users of an arm.
pub fn users(arm: Arm, count: usize) -> Vec<String> {
    let keys = keys(1_000).into_iter();
    keys.filter(|key| arm_at_half(key) == arm)
        .take(count)
        .collect()
}

pub fn user(arm: Arm) -> String {
    users(arm, 1).remove(0)
}

// === impl Wire ===

impl Wire {
    /// With the rollout, and all workers have it.
    pub async fn start(edits: &[Edit]) -> Self {
        Self::start_with(&spec(), edits).await
    }

    pub async fn start_with(spec: &Value, edits: &[Edit]) -> Self {
        let wire = Self::launch(&artefacts::wasm().unwrap(), edits, true).await;
        let wire = wire.unwrap();
        wire.judge.create(spec).await.unwrap();
        settled_by(&wire.judge).await.unwrap();
        wire
    }

    /// Nobody listens at the judge's port yet.
    pub async fn without_judge(edits: &[Edit]) -> Self {
        let wire = Self::launch(&artefacts::wasm().unwrap(), edits, false).await;
        wire.unwrap()
    }

    pub async fn by_ecds(asked: Ecds<'_>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("serinus-wire-").tempdir()?;
        let control = Echo::start(Arm::Control).await?;
        let canary = Echo::start(Arm::Canary).await?;
        let mut judge = Judge::new(folder.path())?;
        let wasm = artefacts::wasm()?;
        let plugin = folder.path().join("xds-plugin.json");
        std::fs::write(&plugin, envoy::xds_plugin(&wasm)?)?;
        judge.option("--xds-plugin", &plugin.display().to_string());
        if asked.judge_runs {
            judge.start().await?;
        }
        let relay = match asked.relayed {
            true => Some(Relay::to(judge.port()).await?),
            false => None,
        };
        let settings = envoy::Settings {
            upstreams: Upstreams {
                control: control.port(),
                canary: canary.port(),
                shadow: canary.port(),
                judge: relay.as_ref().map_or(judge.port(), Relay::port),
            },
            wasm: &wasm,
            concurrency: WORKERS as u8,
            edits: asked.edits,
        };
        let envoy = Envoy::start_ecds(folder.path(), &settings).await?;
        Ok(Self {
            control,
            canary,
            envoy,
            judge,
            relay,
            folder,
        })
    }

    /// Logs, the judge's store and, by ECDS, its `xds-plugin.json`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub async fn launch(wasm: &Path, edits: &[Edit], judge_runs: bool) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("serinus-wire-").tempdir()?;
        let control = Echo::start(Arm::Control).await?;
        let canary = Echo::start(Arm::Canary).await?;
        let mut judge = Judge::new(folder.path())?;
        if judge_runs {
            judge.start().await?;
        }
        let settings = envoy::Settings {
            upstreams: Upstreams {
                control: control.port(),
                canary: canary.port(),
                // Nothing here is mirrored.
                shadow: canary.port(),
                judge: judge.port(),
            },
            wasm,
            concurrency: WORKERS as u8,
            edits,
        };
        let envoy = Envoy::start(folder.path(), &settings).await?;
        Ok(Self {
            control,
            canary,
            envoy,
            judge,
            relay: None,
            folder,
        })
    }

    pub async fn http1(&self) -> http1::Client {
        http1::Client::connect(self.envoy.address()).await.unwrap()
    }

    pub async fn http2(&self) -> http2::Client {
        http2::Client::connect(self.envoy.address()).await.unwrap()
    }

    pub fn server(&self, arm: Arm) -> &Echo {
        match arm {
            Arm::Control => &self.control,
            Arm::Canary => &self.canary,
        }
    }

    /// Waits until an arm's server has got so many requests since its last
    /// [`Echo::take_seen`].
    pub async fn arrived(&self, arm: Arm, count: usize) {
        let arrived = wait::until("a request to arrive", LIMIT, async || {
            Ok((self.server(arm).count() >= count).then_some(()))
        });
        arrived.await.unwrap();
    }

    /// No VM died, and users are where the rollout has them.
    pub async fn unharmed(&self) {
        self.vms_live().await.unwrap();
        // Connections spread over the workers: that 24 miss one is a chance of 2^-23.
        for key in keys(24) {
            let arm = self.arm_of(&key).await.unwrap();
            assert_eq!(arm, arm_at_half(&key), "{key}");
        }
    }

    /// The arm that answers a user, over a new connection.
    pub async fn arm_of(&self, key: &str) -> Result<Arm> {
        let mut client = http1::Client::connect(self.envoy.address()).await?;
        let answer = client.ask("GET /", &[(USER_HEADER, key)], b"").await?;
        let arm = answer.arm().filter(|_| answer.status == 200);
        arm.ok_or_else(|| format!("{key}: {answer:?}").into())
    }

    /// # Errors
    /// When Envoy says that a VM died, or that a callback failed.
    pub async fn vms_live(&self) -> Result<()> {
        // The gauge of active VMs is no witness: Envoy counts and then sets it, so two workers
        // that start at once may leave it one too low.
        match self.complaints()?.first() {
            Some(line) => Err(format!("Envoy said: {line}").into()),
            None => Ok(()),
        }
    }

    /// What Envoy said of VMs that died, and of callbacks that failed.
    pub fn complaints(&self) -> Result<Vec<String>> {
        let log = std::fs::read_to_string(self.folder.path().join("envoy.log"))?;
        let bad = |line: &&str| {
            ["[critical]", "Function: proxy_", "panicked", "wasm trap"]
                .iter()
                .any(|word| line.contains(word))
        };
        Ok(log.lines().filter(bad).map(str::to_owned).collect())
    }

    pub async fn counts(&self, arm: Arm) -> Result<Counts> {
        let path = format!("/v1/rollouts/{ID}");
        let reply = self.judge.call(Method::GET, &path, None).await?;
        let traffic = &reply.body["traffic"][match arm {
            Arm::Control => 0,
            Arm::Canary => 1,
        }];
        let count = |name: &str| {
            traffic[name]
                .as_u64()
                .ok_or(format!("no {name}: {reply:?}"))
        };
        Ok(Counts {
            exposures: count("exposures")?,
            finished: count("finished")?,
            errors: count("errors")?,
            local_replies: count("local_replies")?,
            disconnects: count("disconnects")?,
        })
    }

    /// Waits until an arm's counts are these.
    pub async fn counted(&self, arm: Arm, expected: Counts) {
        let mut last = Counts::default();
        let waited = wait::until("the counts", LIMIT, async || {
            last = self.counts(arm).await?;
            Ok((last == expected).then_some(()))
        });
        waited
            .await
            .unwrap_or_else(|error| panic!("{error}: {last:?} and not {expected:?}"));
    }
}

impl Drop for Wire {
    /// A test that fails shows what Envoy said.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.envoy.process().log_tail());
        }
    }
}
