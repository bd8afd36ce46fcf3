//! What the judge has counted, as its store has it.

use crate::counts::Counts;
use serinus_judge::domain::EpochSums;
use serinus_judge::store::{Loaded, Location, Postgres, Sqlite, Store};
use serinus_tests::failure::{During, Result};

/// Everything in a store. SQLite's is for one program at a time.
pub async fn load(store: &str) -> Result<Loaded> {
    let opened: Box<dyn Store> = match store.parse()? {
        Location::File(path) => Box::new(Sqlite::open(&path).await.during("open the store")?),
        Location::Postgres(url) => Box::new(Postgres::open(&url).await.during("open the store")?),
    };
    opened.load().await.during("read the store")
}

pub fn counts(loaded: &Loaded) -> Counts {
    let mut counts = Counts::default();
    for entry in &loaded.rollouts {
        let arms = entry.rollout.spec.arms.iter();
        let arms: Vec<&str> = arms.map(|arm| arm.name.as_str()).collect();
        for sums in &entry.sums {
            add(&mut counts, &entry.rollout.spec.id, &arms, sums);
        }
    }
    counts
}

fn add(counts: &mut Counts, rollout: &str, arms: &[&str], sums: &EpochSums) {
    let segment = sums.segment.as_deref().unwrap_or("-");
    let whole = format!("{rollout}/{}/{segment}", sums.epoch);
    for (cause, &count) in &sums.fallbacks {
        counts.add(&whole, format!("fallbacks/{cause}"), count);
    }
    for (name, arm) in arms.iter().zip(&sums.arms) {
        let whose = format!("{whole}/{name}");
        let mut slots = |what: &str, slots: &[u64]| {
            for (slot, &count) in slots.iter().enumerate() {
                counts.add(&whose, format!("{what}/{slot}"), count);
            }
        };
        slots("exposures", &arm.exposures);
        slots("finished", &arm.finished);
        slots("errors", &arm.errors);
        slots("latency_us", &arm.latency_sum_us);
        for (edge, over) in arm.over.iter().enumerate() {
            slots(&format!("over-{edge}"), over);
        }
        for (bucket, &count) in &arm.histogram {
            counts.add(&whose, format!("histogram/{bucket}"), count);
        }
        counts.add(&whose, "local_replies/", arm.local_replies);
        counts.add(&whose, "disconnects/", arm.disconnects);
        let firsts = &arm.firsts;
        counts.add(&whose, "new_users/0", firsts.new_users);
        for (before, outcomes) in &firsts.outcomes {
            counts.add(&whose, format!("outcomes/{before}"), outcomes.users);
            counts.add(&whose, format!("outcomes_bad/{before}"), outcomes.bad);
        }
        let there = &arm.in_segment;
        for (what, errors, slow) in [
            ("", &firsts.errors, &firsts.slow),
            ("_there", &there.errors, &there.slow),
        ] {
            for (before, &users) in errors {
                counts.add(&whose, format!("first_errors{what}/{before}"), users);
            }
            for (edge, slow) in slow.iter().enumerate() {
                for (before, &users) in slow {
                    counts.add(&whose, format!("first_slow{what}-{edge}/{before}"), users);
                }
            }
        }
    }
}
