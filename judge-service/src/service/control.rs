//! The control loop: looks at every rollout, judges it, and acts.

use super::Service;
use super::live::PointTraffic;
use crate::books::{Books, Entry, Made};
use crate::domain::decision::{By, Evidence};
use crate::domain::evidence::Workers;
use crate::domain::sums::ArmSums;
use crate::domain::{Action, Bundle};
use crate::metrics::Measures;
use crate::policy;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Two looks are at least this far apart, however many reports come in.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// Reports wait for the books no longer than this, and for one look at a rollout.
const HELD: Duration = Duration::from_millis(5);

/// And at least so many times as far as a look takes: a judge of hundreds of rollouts
/// has a fifth of a core for them, and the rest for reports and plans.
const PAUSE_TIMES: u32 = 4;

/// The last look at each rollout that changed nothing: a decision keeps it too. With
/// eight segments, three arms and five epochs one has about 4 MB.
type Looks = HashMap<String, Evidence>;

/// What a look at a rollout came to.
enum Found {
    Nothing,
    /// A new epoch, with thresholds or processes of its own. Its plan may wait for the end
    /// of the look: rollouts that began together learn together, and a plan goes to all
    /// workers.
    Measured,
    /// A verdict, which may not wait.
    Decided,
}

impl Service {
    pub(super) async fn control(self: Arc<Self>) {
        let mut looks = Looks::new();
        loop {
            // Whichever comes first: news, or the interval, since time alone can
            // end a step's minimum or its deadline.
            let _ =
                tokio::time::timeout(self.settings.evaluation_interval, self.changed.notified())
                    .await;
            let busy = self.look(&mut looks).await;
            Measures::took(&self.measures.look, busy);
            tokio::time::sleep(SHORTEST_INTERVAL.max(busy * PAUSE_TIMES)).await;
        }
    }

    /// One look at every rollout; how long it took without the waiting.
    async fn look(&self, looks: &mut Looks) -> Duration {
        let mut busy = Duration::ZERO;
        // A store that fails is said where it is asked; the next look tries again.
        let Ok(mut books) = self.books().await else {
            return busy;
        };
        let ids: Vec<String> = books
            .entries()
            .iter()
            .filter(|entry| !entry.rollout.phase.is_over())
            .map(|entry| entry.rollout.spec.id.clone())
            .collect();
        looks.retain(|id, _| ids.contains(id));
        self.live().expire(self.now());
        let now = self.now();
        let workers = self.delivery.heard_of(now);
        books.measure_delivery(|plan| {
            let delivered = self.delivery.delivered(plan, now)?;
            if let Some(last) = delivered.last_worker_ms {
                Measures::took(&self.measures.delivery, Duration::from_millis(last));
            }
            Some(delivered)
        });
        // A failure is logged where it is handled.
        if self.commit(&mut books).await.is_err() {
            return busy;
        }
        if self.pace.heed(workers.serving) {
            self.put_in_force(&mut books).await;
        }
        let mut held = Instant::now();
        let mut waits = false;
        for id in ids {
            if held.elapsed() > HELD {
                drop(books);
                let Ok(again) = self.books().await else {
                    return busy;
                };
                books = again;
                held = Instant::now();
            }
            let began = Instant::now();
            let found = self.look_at(&mut books, &id, looks, &workers);
            busy += began.elapsed();
            match found {
                Found::Nothing => {}
                Found::Measured => waits = true,
                Found::Decided => {
                    self.put_in_force(&mut books).await;
                    waits = false;
                }
            }
        }
        if waits {
            self.put_in_force(&mut books).await;
        }
        busy
    }

    async fn put_in_force(&self, books: &mut Books) {
        if self.publish(books).await.is_err() {
            tracing::warn!("the verdict is not in force; the next look judges anew");
        }
    }

    /// Judges one rollout.
    fn look_at(&self, books: &mut Books, id: &str, looks: &mut Looks, workers: &Workers) -> Found {
        let now = self.now();
        let Some(entry) = books.entry_mut(id) else {
            return Found::Nothing;
        };
        let span = tracing::debug_span!(
            target: crate::TRACES,
            "look",
            serinus.rollout = id,
            serinus.action = tracing::field::Empty,
            serinus.reason = tracing::field::Empty,
        );
        let _looks = span.enter();
        entry.looked_at(now);
        if entry.rollout.is_tested() && entry.measure(now) {
            return Found::Measured;
        }
        let word = self.gates.word(&entry.rollout, now);
        let bundle = Bundle {
            not_ready: self.readiness.lacking(&entry.rollout),
            workers: workers.clone(),
            closed: word.closed,
            breached: word.breached,
            ..entry.bundle(now)
        };
        let verdict = policy::judge(&bundle);
        span.record("serinus.action", verdict.action.name());
        if let Some(decisive) = verdict.reasons.first() {
            span.record("serinus.reason", decisive.as_str());
        }
        let rollout = &entry.rollout;
        let mut live = self.live();
        live.evaluated(id, &verdict, rollout.step, rollout.phase, traffic(entry));
        drop(live);
        if verdict.action == Action::Hold {
            looks.insert(id.to_owned(), Evidence { bundle, verdict });
            return Found::Nothing;
        }
        let from_step = entry.rollout.step;
        let before = entry.rollout.clone();
        let Some(deed) = entry.rollout.follow(&verdict, now) else {
            entry.rollout = before;
            return Found::Nothing;
        };
        let reasons = verdict.reasons.clone();
        for reason in &reasons {
            tracing::info!(rollout = %id, step = from_step + 1, deed = ?deed, "{reason}");
        }
        let made = Made {
            at_ms: now,
            deed,
            by: By::Judge,
            from_step,
            drops: verdict.drops.clone(),
            reasons,
            evidence: Some(Evidence { bundle, verdict }),
            evidence_before: looks.remove(id),
        };
        if let Err(problem) = books.decide(id, made) {
            tracing::error!(rollout = %id, %problem, "a verdict could not be recorded, and is not acted on");
            if let Some(entry) = books.entry_mut(id) {
                entry.rollout = before;
            }
            return Found::Nothing;
        }
        Found::Decided
    }
}

fn traffic(entry: &Entry) -> Vec<PointTraffic> {
    let arms = entry.rollout.spec.arms.iter().enumerate();
    arms.map(|(index, arm)| {
        let sums = || {
            entry
                .sums()
                .iter()
                .filter_map(move |sums| sums.arms.get(index))
        };
        let total = |of: fn(&ArmSums) -> &[u64]| sums().flat_map(of).sum();
        PointTraffic {
            arm: arm.name.clone(),
            exposures: total(|sums| &sums.exposures),
            finished: total(|sums| &sums.finished),
            errors: total(|sums| &sums.errors),
        }
    })
    .collect()
}
