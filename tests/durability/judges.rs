//! The judges of a storm, and what kills them.

use crate::lab::Lab;
use serinus_tests::failure::Result;
use serinus_tests::judge::Judge;
use serinus_tests::wait;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

const LIMIT: Duration = Duration::from_secs(60);

/// Reports acknowledged between two deaths, at most.
const ACKNOWLEDGED: u64 = 150;

pub struct Judges {
    judges: Vec<Judge>,
    /// Logs, and the store that is a file.
    _folder: TempDir,
}

impl Judges {
    /// One judge with a file.
    pub fn alone() -> Result<Self> {
        Self::with(None, 1)
    }

    /// So many judges with one store: a path, or the URL of an empty database.
    pub fn on(store: &str, count: u64) -> Result<Self> {
        Self::with(Some(store), count)
    }

    fn with(store: Option<&str>, count: u64) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut judges = Vec::new();
        for number in 0..count {
            let own = folder.path().join(format!("judge-{number}"));
            std::fs::create_dir(&own)?;
            let mut judge = Judge::new(&own)?;
            if let Some(store) = store {
                judge.store(store);
            }
            judges.push(judge);
        }
        Ok(Self {
            judges,
            _folder: folder,
        })
    }

    pub fn store(&self) -> String {
        self.judges[0].stored_at().to_owned()
    }

    pub fn addresses(&self) -> Vec<String> {
        let addresses = self.judges.iter().map(Judge::address);
        addresses
            .map(|address| address.replace("http://", ""))
            .collect()
    }

    pub async fn start(&mut self) -> Result<()> {
        for judge in &mut self.judges {
            start(judge).await?;
        }
        Ok(())
    }

    pub async fn kill(&mut self) -> Result<()> {
        for judge in &mut self.judges {
            judge.kill().await?;
        }
        Ok(())
    }

    /// Kills one after another, at any moment, until it is calm; then all run.
    pub async fn be_killed(&mut self, lab: &Lab) -> Result<()> {
        while !lab.calm.get() {
            // However slow the machine is, some reports are counted between two deaths.
            let due = lab.tally.borrow().acknowledged + lab.below(ACKNOWLEDGED);
            wait::until("reports to be counted", LIMIT, async || {
                let counted = lab.tally.borrow().acknowledged;
                Ok((counted >= due || lab.calm.get()).then_some(()))
            })
            .await?;
            // The moment is part of the storm: nothing is waited for.
            sleep(Duration::from_millis(lab.below(100))).await;
            let number = lab.below(self.judges.len() as u64) as usize;
            let judge = &mut self.judges[number];
            if lab.several && lab.below(3) == 0 {
                stand_still(judge, Duration::from_millis(lab.below(6_000))).await?;
                lab.tally.borrow_mut().freezes += 1;
                continue;
            }
            judge.kill().await?;
            lab.tally.borrow_mut().kills += 1;
            if lab.below(3) == 0 {
                // Again, while it starts: who is dropped is killed.
                let moment = Duration::from_millis(lab.below(150));
                let _ = timeout(moment, judge.start()).await;
                if judge.process().is_some() {
                    judge.kill().await?;
                }
                lab.tally.borrow_mut().kills += 1;
            }
            start(judge).await?;
        }
        Ok(())
    }

    /// What they said last, for a failure.
    pub fn log_tails(&self) -> String {
        let processes = self.judges.iter().filter_map(Judge::process);
        processes
            .map(|process| process.log_tail())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// Longer than a lease, at times: another judges meanwhile, and it does not know.
async fn stand_still(judge: &Judge, time: Duration) -> Result<()> {
    let process = judge.process().ok_or("the judge does not run")?;
    process.freeze().await?;
    sleep(time).await;
    process.thaw().await
}

/// One that was killed a moment ago may still hold its file.
async fn start(judge: &mut Judge) -> Result<()> {
    wait::until("a judge to start", LIMIT, async || {
        match judge.start().await {
            Ok(()) => Ok(Some(())),
            Err(error) if error.to_string().contains("another judge has it open") => Ok(None),
            Err(error) => Err(error),
        }
    })
    .await
}
