//! A judge under measurement: its own core, its own store, and what it uses.

use crate::cores::Cores;
use crate::http::speak_tls;
use reqwest::Method;
use serde_json::{Value, json};
use serinus_tests::failure::{During, Result};
use serinus_tests::judge::Judge;
use serinus_tests::postgres::{Database, Postgres};
use serinus_tests::wait;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

const READY_WITHIN: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
    /// SQLite, by TLS.
    Tls,
}

/// The judge speaks TLS from its next start on, and the load too.
fn by_tls(judge: &mut Judge, folder: &std::path::Path) -> Result<()> {
    let shown = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (folder.join("judge.pem"), folder.join("judge.key"));
    fs::write(&certificate, shown.cert.pem())?;
    fs::write(&key, shown.signing_key.serialize_pem())?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    judge.option("--tls-certificate", &certificate.display().to_string());
    judge.option("--tls-key", &key.display().to_string());
    judge.trust(&certificate)?;
    speak_tls(Some(shown.cert.der()))
}

pub struct Bench {
    pub judge: Judge,
    _database: Option<(Postgres, Database)>,
    _folder: tempfile::TempDir,
}

impl Bench {
    pub async fn start(kind: Kind, cores: &Cores) -> Result<Self> {
        speak_tls(None)?;
        let folder = tempfile::tempdir()?;
        let mut judge = Judge::new(folder.path())?;
        let serinus = &cores.serinus;
        if !serinus.exists() {
            return Err(format!(
                "{} is missing; `make bench-judge` builds it",
                serinus.display()
            )
            .into());
        }
        judge.command([
            "taskset",
            "-c",
            &cores.judge,
            &serinus.display().to_string(),
        ]);
        let database = match kind {
            Kind::Sqlite => None,
            Kind::Tls => {
                by_tls(&mut judge, folder.path())?;
                None
            }
            Kind::Postgres => {
                let server = Postgres::start(&["taskset", "-c", &cores.others]).await?;
                let database = server.database().await?;
                judge.store(&database.url());
                Some((server, database))
            }
        };
        judge.start().await?;
        // One of several listens before it has the lease.
        wait::until("the judge to judge", READY_WITHIN, async || {
            let reply = judge.call(Method::GET, "/health/ready", None).await?;
            let judges = reply.body["role"].as_str() != Some("follower");
            Ok((reply.status == 200 && judges).then_some(()))
        })
        .await?;
        Ok(Self {
            judge,
            _database: database,
            _folder: folder,
        })
    }

    /// Rollouts that stay at their first step: ids, and the epochs that they begin with.
    pub async fn rollouts(&self, count: usize) -> Result<Vec<(String, u64)>> {
        let mut rollouts = Vec::new();
        for number in 0..count {
            let id = format!("model-{number:03}");
            let spec = json!({
                "id": id,
                "match": {"path_prefix": format!("/v2/models/{id}/")},
                "unit": [{"header": "x-user-id"}],
                "arms": [{"name": "control", "version": "v1"}, {"name": "canary", "version": "v2"}],
                "minimum": {"seconds": 86_000, "exposures": 500},
            });
            self.judge.create(&spec).await?;
            rollouts.push((id.clone(), self.epoch(&id).await?));
        }
        Ok(rollouts)
    }

    /// The epoch that the plan says, which reports name.
    pub async fn epoch(&self, id: &str) -> Result<u64> {
        let plan = self.plan().await?;
        let rollouts = plan["rollouts"].as_array().into_iter().flatten();
        let mut of_it = rollouts.filter(|rollout| rollout["id"] == id);
        let epoch = of_it.next().and_then(|rollout| rollout["epoch"].as_u64());
        epoch.ok_or_else(|| format!("the plan has no rollout {id}").into())
    }

    pub async fn plan(&self) -> Result<Value> {
        let reply = self.judge.call(Method::GET, "/v1/plan", None).await?;
        Ok(reply.body)
    }

    /// Seconds on a CPU until now, in the program and in the system for it. The system
    /// counts in ticks of 10 ms.
    pub fn cpu_s(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()?));
        let stat = stat.during("read the judge's CPU time")?;
        // Behind the name, which may have blanks: the fields from the third on.
        let fields = stat.rsplit(") ").next().unwrap_or_default();
        let ticks = |place: usize| fields.split(' ').nth(place)?.parse::<f64>().ok();
        let ticks = ticks(11)
            .zip(ticks(12))
            .ok_or("the judge has no CPU time")?;
        Ok((ticks.0 + ticks.1) / 100.0)
    }

    fn id(&self) -> Result<u32> {
        let process = self
            .judge
            .process()
            .and_then(serinus_tests::process::Process::id);
        process.ok_or_else(|| "the judge has ended".into())
    }

    /// Megabytes (10^6 bytes) in memory now, and at most until now.
    pub fn memory_mb(&self) -> Result<(f64, f64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()?))
            .during("read the judge's memory")?;
        let kilobytes = |name: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            number
                .ok_or("the judge has no memory")?
                .parse::<f64>()
                .during("read the judge's memory")
        };
        Ok((
            kilobytes("VmRSS:")? * 1.024e-3,
            kilobytes("VmHWM:")? * 1.024e-3,
        ))
    }
}
