//! What a judge does that does not judge: it takes reports, and hears of workers, for
//! the one that does.

use crate::books;
use crate::domain::Millis;
use crate::service::{Delivery, Heard, IngestError, Poll};
use crate::store::{Letter, LetterKind, Shared};
use serinus_core::report::Report;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Reports that wait for the next commit; past that, workers are asked to wait.
const QUEUE: usize = 4_096;

/// Reports in one commit.
const BATCH: usize = 512;

/// What is heard of workers goes to the judge that judges this often.
const HEARD_EVERY: Duration = Duration::from_millis(100);

/// The judge that judges may be a new one, and knows nothing of proxies on ECDS: those
/// that are there are told of again after so many times, which is ten seconds.
const ALL_PROXIES_EVERY: u64 = 100;

/// What is kept of it while the database is away; the newest words of a worker matter.
const HEARD_AT_MOST: usize = 20_000;

pub struct Follower {
    delivery: Arc<Delivery>,
    clock: fn() -> Millis,
    reports: mpsc::Sender<Taken>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    leader: Option<String>,
    heard: Vec<Heard>,
}

struct Taken {
    body: Vec<u8>,
    done: oneshot::Sender<bool>,
}

impl Follower {
    pub(super) fn start(
        shared: Arc<dyn Shared>,
        delivery: Arc<Delivery>,
        clock: fn() -> Millis,
    ) -> Arc<Self> {
        let (reports, taken) = mpsc::channel(QUEUE);
        let follower = Arc::new(Self {
            delivery,
            clock,
            reports,
            state: Mutex::default(),
        });
        // Both end with the follower: the channel closes, the weak reference is empty.
        tokio::spawn(post_reports(Arc::clone(&shared), taken));
        tokio::spawn(post_heard(shared, Arc::downgrade(&follower)));
        follower
    }

    #[must_use]
    pub fn now(&self) -> Millis {
        (self.clock)()
    }

    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Where the judge that judges is; `None` while there is none.
    #[must_use]
    pub fn leader(&self) -> Option<String> {
        self.state().leader.clone()
    }

    pub(super) fn led_by(&self, leader: Option<String>) {
        self.state().leader = leader;
    }

    /// Takes a report's bytes; when this returns, they are on disk. The judge that
    /// judges counts them, and refuses what is wrong in them.
    ///
    /// # Errors
    /// A report that can be of no worker, or a database that does not take it now.
    pub async fn report(&self, report: &Report, body: Vec<u8>) -> Result<(), IngestError> {
        books::check(report)?;
        let (done, answer) = oneshot::channel();
        self.reports
            .try_send(Taken { body, done })
            .map_err(|_| IngestError::Busy)?;
        match answer.await {
            Ok(true) => {}
            Ok(false) | Err(_) => return Err(IngestError::Store),
        }
        let now = (self.clock)();
        self.delivery
            .reported(&report.session, report.revision, now);
        self.hear(Heard::Serves {
            session: report.session.clone(),
            revision: report.revision,
            at_ms: now,
        });
        Ok(())
    }

    /// A worker asks for the plan.
    pub fn polled(&self, poll: Poll) {
        let now = (self.clock)();
        self.delivery.polled(&poll, now);
        self.hear(Heard::Polled { poll, at_ms: now });
    }

    /// What became known since it was asked last.
    fn take_heard(&self, all_proxies: bool) -> Vec<Heard> {
        let told = self.delivery.proxies().to_tell(all_proxies);
        let mut heard = core::mem::take(&mut self.state().heard);
        let at_ms = (self.clock)();
        heard.extend(told.into_iter().map(|told| Heard::Proxy { told, at_ms }));
        heard
    }

    fn hear(&self, heard: Heard) {
        let mut state = self.state();
        if state.heard.len() < HEARD_AT_MOST {
            state.heard.push(heard);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn post_reports(shared: Arc<dyn Shared>, mut taken: mpsc::Receiver<Taken>) {
    let mut batch = Vec::with_capacity(BATCH);
    while taken.recv_many(&mut batch, BATCH).await > 0 {
        let mut letters = Vec::with_capacity(batch.len());
        let mut waiting = Vec::with_capacity(batch.len());
        for Taken { body, done } in batch.drain(..) {
            letters.push(Letter {
                kind: LetterKind::Report,
                body,
            });
            waiting.push(done);
        }
        let posted = shared.post(&letters).await;
        if let Err(error) = &posted {
            tracing::warn!(%error, reports = letters.len(), "reports could not be stored; their workers send them again");
        }
        for done in waiting {
            // A worker that hung up sends the same bytes again, as a duplicate.
            let _ = done.send(posted.is_ok());
        }
    }
}

async fn post_heard(shared: Arc<dyn Shared>, follower: std::sync::Weak<Follower>) {
    let mut tick = tokio::time::interval(HEARD_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for turn in 0u64.. {
        tick.tick().await;
        let Some(follower) = follower.upgrade() else {
            return;
        };
        let heard = follower.take_heard(turn % ALL_PROXIES_EVERY == 0);
        if heard.is_empty() {
            continue;
        }
        // Strings and numbers: serialisation cannot fail.
        let body = serde_json::to_vec(&heard).unwrap_or_default();
        let letter = Letter {
            kind: LetterKind::Heard,
            body,
        };
        if let Err(error) = shared.post(&[letter]).await {
            tracing::debug!(%error, "what was heard of workers waits");
            let mut state = follower.state();
            let later = core::mem::replace(&mut state.heard, heard);
            state.heard.extend(later);
            state.heard.truncate(HEARD_AT_MOST);
        }
    }
}
