//! What those see who watch: one picture of all rollouts, made once for all of them.

use super::status::Status;
use super::{Service, ServiceError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Numbers move all the time; a person reads no faster. A decision is told at once.
const EVERY: Duration = Duration::from_secs(1);

/// Pictures are at least so many times as far apart as one takes: a judge of hundreds of
/// rollouts has other things to do.
const PAUSE_TIMES: u32 = 4;

const WATCHERS: usize = 256;

#[derive(Debug)]
pub(super) struct Watching {
    newest: tokio::sync::Mutex<Newest>,
    places: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Newest {
    picture: Arc<Picture>,
    /// When it was begun, and how long it took.
    made: Option<(Instant, Duration)>,
}

/// All rollouts at one time.
#[derive(Debug, Default)]
pub struct Picture(pub BTreeMap<String, Seen>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// [`Status`] as JSON.
    pub status: Arc<str>,
    /// The number of the last decision.
    pub decision: u64,
}

/// One who watches, until this is dropped.
#[derive(Debug)]
pub struct Watcher {
    _place: OwnedSemaphorePermit,
}

// === impl Watching ===

impl Watching {
    pub fn new() -> Self {
        Self {
            newest: tokio::sync::Mutex::default(),
            places: Arc::new(Semaphore::new(WATCHERS)),
        }
    }
}

impl Service {
    /// `None` when there are as many as there may be.
    #[must_use]
    pub fn watcher(&self) -> Option<Watcher> {
        let place = Arc::clone(&self.watching.places).try_acquire_owned().ok()?;
        Some(Watcher { _place: place })
    }

    /// How many watch.
    #[must_use]
    pub fn watchers(&self) -> usize {
        WATCHERS.saturating_sub(self.watching.places.available_permits())
    }

    /// The picture after the one that was shown: waits until it is time for it. `None` when
    /// the judge stops.
    ///
    /// # Errors
    /// A store that fails: the next picture may come all the same.
    pub async fn next_picture(&self) -> Option<Result<Arc<Picture>, ServiceError>> {
        let mut plan = self.delivery.subscribe();
        plan.mark_unchanged();
        let mut stopped = self.stopped.subscribe();
        let mut ending = self.delivery.ending();
        tokio::select! {
            _ = ending.wait_for(|ending| *ending) => return None,
            _ = stopped.wait_for(|stopped| *stopped) => return None,
            () = tokio::time::sleep(EVERY) => {}
            // What was decided is in force with a new plan.
            _ = plan.changed() => {}
        }
        Some(self.picture().await)
    }

    /// # Errors
    /// A store that fails.
    pub async fn picture(&self) -> Result<Arc<Picture>, ServiceError> {
        let asked = Instant::now();
        let mut newest = self.watching.newest.lock().await;
        if let Some((began, took)) = newest.made
            && (began >= asked || began.elapsed() < took * PAUSE_TIMES)
        {
            return Ok(Arc::clone(&newest.picture));
        }
        let began = Instant::now();
        let ids: Vec<String> = {
            let books = self.books().await?;
            let entries = books.entries().iter();
            entries.map(|entry| entry.rollout.spec.id.clone()).collect()
        };
        let mut seen = BTreeMap::new();
        for id in ids {
            // Reports want the books between two rollouts.
            let books = self.books().await?;
            let Some(entry) = books.entry(&id) else {
                continue;
            };
            let status = self.status_of(entry);
            drop(books);
            seen.insert(id, Seen::of(&status)?);
        }
        newest.picture = Arc::new(Picture(seen));
        newest.made = Some((began, began.elapsed()));
        Ok(Arc::clone(&newest.picture))
    }
}

impl Seen {
    fn of(status: &Status) -> Result<Self, ServiceError> {
        let json = serde_json::to_string(status);
        Ok(Self {
            status: json
                .map_err(|error| ServiceError::Internal(error.to_string()))?
                .into(),
            decision: status.decisions,
        })
    }
}
