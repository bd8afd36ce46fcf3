//! One of several judges, and the role that it has now.

use super::Follower;
use crate::domain::Millis;
use crate::service::{Delivery, Published, Service, Settings};
use crate::store::{LEASE, Shared, Store, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How often the lease is prolonged: two attempts may fail before it is over.
const RENEW_EVERY: Duration = Duration::from_millis(900);

/// After an attempt that failed to become the one that judges.
const PAUSE: Duration = Duration::from_millis(300);

pub struct Member {
    settings: Settings,
    shared: Arc<dyn Shared>,
    /// Where the others find this one.
    address: String,
    clock: fn() -> Millis,
    delivery: Arc<Delivery>,
    role: watch::Sender<Role>,
    sure: Sure,
}

#[derive(Clone)]
pub enum Role {
    /// The one that judges.
    Leader(Arc<Service>),
    Follower(Arc<Follower>),
}

/// Until when this judge may speak for the database: a process that was frozen for
/// longer, or cut off, would give out what is no longer so.
struct Sure {
    start: Instant,
    until_ms: AtomicU64,
}

impl Member {
    /// Joins the judges of a database, as one that does not judge yet.
    #[must_use]
    pub fn join(
        settings: Settings,
        shared: Arc<dyn Shared>,
        delivery: Arc<Delivery>,
        address: String,
        clock: fn() -> Millis,
    ) -> Arc<Self> {
        let follower = Follower::start(Arc::clone(&shared), Arc::clone(&delivery), clock);
        Arc::new(Self {
            settings,
            shared,
            address,
            clock,
            delivery,
            role: watch::Sender::new(Role::Follower(follower)),
            sure: Sure::new(),
        })
    }

    /// What this judge is now; `None` while it cannot know whether it still is.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.sure.stands().then(|| self.role.borrow().clone())
    }

    /// Whether this judge is asked to end.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        *self.delivery.ending().borrow()
    }

    /// Follows, judges when nobody else does, follows again when another has taken over.
    /// Never returns.
    pub async fn run(self: Arc<Self>) {
        loop {
            let Role::Follower(follower) = self.role.borrow().clone() else {
                return;
            };
            self.follow(&follower).await;
            match self.judge().await {
                Ok(()) => {
                    tracing::warn!("another judge has taken over, or may have: this one follows")
                }
                Err(error) => {
                    tracing::error!(%error, "failed to begin to judge");
                    self.give_up().await;
                    tokio::time::sleep(PAUSE).await;
                }
            }
            let follower = Follower::start(
                Arc::clone(&self.shared),
                Arc::clone(&self.delivery),
                self.clock,
            );
            self.role.send_replace(Role::Follower(follower));
        }
    }

    /// Ends the lease, so that the next judge need not wait for that.
    pub async fn give_up(&self) {
        if let Err(error) = self.shared.give_up().await {
            tracing::warn!(%error, "the lease could not be given up, and will end by itself");
        }
    }

    /// Until this judge has the lease.
    async fn follow(&self, follower: &Follower) {
        loop {
            let looked = self.look(follower).await;
            self.delivery.set_cut_off(!self.sure.stands());
            match looked {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "the database does not answer");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
            if let Err(error) = self.shared.news().await {
                tracing::debug!(%error, "no news from the database");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// One look at what the database says; whether this judge has the lease now.
    async fn look(&self, follower: &Follower) -> Result<bool, StoreError> {
        let asked = Instant::now();
        let outlook = self.shared.outlook().await?;
        if outlook.revision != Some(self.delivery.revision())
            && let Some((revision, bytes)) = self.shared.published().await?
        {
            self.delivery
                .give_out(Published::stored(revision, bytes), (self.clock)());
        }
        self.sure.until(asked + LEASE);
        let nobody = outlook.leader.is_none();
        follower.led_by(outlook.leader);
        // Who ends lets another one judge.
        if !nobody || self.is_ending() {
            return Ok(false);
        }
        let asked = Instant::now();
        let taken = self.shared.take_lease(&self.address).await?;
        if taken {
            self.sure.until(asked + LEASE);
        }
        Ok(taken)
    }

    /// Judges for as long as the lease can be prolonged.
    async fn judge(&self) -> Result<(), StoreError> {
        let store: Arc<dyn Store> = Arc::clone(&self.shared) as Arc<dyn Store>;
        let service = Service::start(
            self.settings.clone(),
            store,
            Some(Arc::clone(&self.shared)),
            Arc::clone(&self.delivery),
            self.clock,
        );
        // Loading may take longer than the lease: it is prolonged meanwhile.
        let mut service = Box::pin(service);
        let mut tick = tokio::time::interval(RENEW_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let service = loop {
            tokio::select! {
                started = &mut service => break started?,
                _ = tick.tick() => {
                    if !self.renew().await {
                        return Ok(());
                    }
                }
            }
        };
        tracing::info!(address = %self.address, "this judge judges now");
        self.role.send_replace(Role::Leader(Arc::clone(&service)));
        loop {
            tokio::select! {
                () = service.overruled() => break,
                _ = tick.tick() => {
                    if !self.renew().await {
                        break;
                    }
                }
            }
        }
        service.stop();
        Ok(())
    }

    /// Whether the lease still stands, for all that this judge can know.
    async fn renew(&self) -> bool {
        let asked = Instant::now();
        match tokio::time::timeout(RENEW_EVERY, self.shared.renew()).await {
            Ok(Ok(true)) => {
                self.sure.until(asked + LEASE);
                true
            }
            Ok(Ok(false)) => false,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the lease could not be prolonged");
                self.sure.stands()
            }
            Err(_) => {
                tracing::warn!("the database takes too long to prolong the lease");
                self.sure.stands()
            }
        }
    }
}

impl Role {
    /// Whether it is the very same, and not only of the same kind.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Leader(one), Self::Leader(other)) => Arc::ptr_eq(one, other),
            (Self::Follower(one), Self::Follower(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

// === impl Sure ===

impl Sure {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            until_ms: AtomicU64::new(0),
        }
    }

    fn until(&self, instant: Instant) {
        let passed = instant.saturating_duration_since(self.start);
        let passed = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        self.until_ms.store(passed, Ordering::Relaxed);
    }

    fn stands(&self) -> bool {
        self.stands_at(Instant::now())
    }

    fn stands_at(&self, now: Instant) -> bool {
        let until = Duration::from_millis(self.until_ms.load(Ordering::Relaxed));
        now.saturating_duration_since(self.start) < until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judge_that_was_frozen_is_not_sure() {
        let sure = Sure::new();
        let now = Instant::now();
        assert!(!sure.stands_at(now), "nothing is known yet");
        sure.until(now + LEASE);
        assert!(sure.stands_at(now + LEASE / 2));
        assert!(!sure.stands_at(now + LEASE));
    }
}
