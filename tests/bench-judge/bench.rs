//! A judge under measurement: its own core, its own store, and what it uses.

use crate::cores::Cores;
use serde_json::{Value, json};
use serinus_tests::failure::{During, Result};
use serinus_tests::judge::Judge;
use serinus_tests::postgres::{Database, Postgres};
use std::fs;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

pub struct Bench {
    pub judge: Judge,
    _database: Option<(Postgres, Database)>,
    _folder: tempfile::TempDir,
}

impl Bench {
    pub async fn start(kind: Kind, cores: &Cores) -> Result<Self> {
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
            Kind::Postgres => {
                let server = Postgres::start(&["taskset", "-c", &cores.others]).await?;
                let database = server.database().await?;
                judge.store(&database.url());
                Some((server, database))
            }
        };
        judge.start().await?;
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
        let reply = self
            .judge
            .call(reqwest::Method::GET, "/v1/plan", None)
            .await?;
        Ok(reply.body)
    }

    /// Megabytes (10^6 bytes) in memory now, and at most until now.
    pub fn memory_mb(&self) -> Result<(f64, f64)> {
        let id = self
            .judge
            .process()
            .and_then(serinus_tests::process::Process::id);
        let id = id.ok_or("the judge has ended")?;
        let status =
            fs::read_to_string(format!("/proc/{id}/status")).during("read the judge's memory")?;
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
