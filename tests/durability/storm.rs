//! From the first report to the last look at the books.

use crate::judges::Judges;
use crate::lab::{Lab, STEADY, Tally};
use crate::worker::{Worker, deliver_the_rest};
use crate::{books, deeds};
use serinus_tests::failure::Result;
use serinus_tests::random::Random;
use serinus_tests::wait;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::sleep;

const LIMIT: Duration = Duration::from_secs(60);

/// How many times as long a storm may take to become one.
const LONGER: u32 = 4;

pub struct Storm {
    pub seed: u64,
    pub workers: u64,
    pub lasts: Duration,
}

impl Storm {
    /// # Errors
    /// What the judges did not keep, with the seed.
    pub async fn run(&self, mut judges: Judges) -> Result<()> {
        let seed = self.seed;
        println!("SERINUS_SEED={seed}");
        let held = LocalSet::new().run_until(self.hold(&mut judges)).await;
        held.map_err(|error| format!("SERINUS_SEED={seed}: {error}\n{}", judges.log_tails()).into())
    }

    async fn hold(&self, judges: &mut Judges) -> Result<()> {
        judges.start().await?;
        let lab = Rc::new(Lab::new(judges.addresses(), self.seed));
        let mut workers = JoinSet::new();
        for number in 1..=self.workers {
            let random = Random::new(self.seed.wrapping_add(number << 32));
            workers.spawn_local(Worker::new(Rc::clone(&lab), random).run());
        }
        let at_work = async {
            while let Some(ended) = workers.join_next().await {
                ended??;
            }
            Ok(())
        };
        tokio::try_join!(
            judges.be_killed(&lab),
            deeds::run(&lab),
            at_work,
            self.passes(&lab),
        )?;
        deliver_the_rest(&lab).await?;
        wait::until("all decisions", LIMIT, async || {
            Ok(deeds::look(&lab).await?.then_some(()))
        })
        .await?;
        lab.history.borrow().all_done()?;
        self.look_into_the_books(judges, &lab).await
    }

    async fn passes(&self, lab: &Lab) -> Result<()> {
        const TOLD_EVERY: Duration = Duration::from_secs(10);
        let mut left = self.lasts;
        // On a machine that is busy with other things it takes longer to become one.
        let mut more = self.lasts * LONGER;
        while !left.is_zero() {
            let step = left.min(TOLD_EVERY);
            sleep(step).await;
            left -= step;
            println!("{} s to go: {:?}", left.as_secs(), lab.tally.borrow());
            let epochs = lab.model.borrow().counts().of(STEADY).epochs();
            if left.is_zero() && was_one(lab, &lab.tally.borrow(), epochs).is_err() {
                left = more.min(TOLD_EVERY);
                more -= left;
            }
        }
        lab.calm.set(true);
        Ok(())
    }

    async fn look_into_the_books(&self, judges: &mut Judges, lab: &Lab) -> Result<()> {
        let right = lab.model.borrow().counts().of(STEADY);
        if lab.several {
            // What one took is posted to another, which counts it a moment later.
            // What differs in the end is said below.
            let _ = wait::until("all that was posted to be counted", LIMIT, async || {
                let loaded = books::load(&judges.store()).await?;
                Ok((books::counts(&loaded).of(STEADY) == right).then_some(()))
            })
            .await;
        }
        judges.kill().await?;
        let loaded = books::load(&judges.store()).await?;
        let model = lab.model.borrow();
        books::counts(&loaded).of(STEADY).must_be(&right)?;
        let newest = lab.history.borrow().newest();
        if loaded.revision < newest {
            return Err(
                format!("{} is stored, and {newest} was given out", loaded.revision).into(),
            );
        }
        // Else the next copy of a report would be counted again.
        let stored: BTreeMap<_, _> = loaded
            .sessions
            .into_iter()
            .map(|(name, last)| (name.to_string(), last))
            .collect();
        for (session, sequence) in model.acknowledged() {
            if stored.get(session) < Some(sequence) {
                return Err(format!("report {sequence} of {session} is forgotten").into());
            }
        }
        let (history, tally) = (lab.history.borrow(), lab.tally.borrow());
        println!(
            "{} reports and {} sums in {} epochs are as they should be, {} plans and {} deeds: {tally:?}",
            model.acknowledged().len(),
            right.len(),
            right.epochs(),
            history.revisions(),
            history.deeds(),
        );
        was_one(lab, &tally, right.epochs())
    }
}

/// A storm in which nothing happened would find nothing.
fn was_one(lab: &Lab, tally: &Tally, epochs: usize) -> Result<()> {
    // A judge that only takes reports does not know whether one came before.
    let enough = tally.kills + tally.freezes >= 3
        && tally.acknowledged >= 100
        && (lab.several || tally.duplicates >= 5)
        && tally.unanswered >= 20
        && tally.nonsense >= 1
        && tally.restarts >= 1
        && epochs >= 3;
    if enough {
        Ok(())
    } else {
        Err(format!("that was no storm: {epochs} epochs, {tally:?}").into())
    }
}
