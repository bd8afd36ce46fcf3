//! Joins books, store, policy, inference and delivery. Knows no HTTP.

mod control;
mod deeds;
mod delivery;
mod dropping;
mod incident;
mod ingest;
mod live;
pub mod models;
mod notices;
mod readiness;
mod reference;
mod scale_down;
pub mod status;

pub use deeds::DeedError;
pub use delivery::{Published, WorkerState};
pub use ingest::{IngestError, wall_clock};
pub use live::{Counters, Example, Point};
pub use reference::SampleRefusal;

use crate::books::Books;
use crate::domain::Millis;
use crate::domain::plan::Terms;
use crate::store::{Store, StoreError};
use delivery::Delivery;
use ingest::Ingest;
use live::Live;
use models::Models;
use readiness::Readiness;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

#[derive(Debug, Clone)]
pub struct Settings {
    /// Model descriptions that specs name lie below this folder.
    pub models: PathBuf,
    /// What holds for all rollouts.
    pub terms: Terms,
    /// The longest time between two looks at a rollout.
    pub evaluation_interval: Duration,
}

/// Reports that wait for the next commit; past that, workers are asked to wait.
const INGEST_QUEUE: usize = 1_024;

pub struct Service {
    settings: Settings,
    clock: fn() -> Millis,
    store: Arc<dyn Store>,
    /// Held while a change is committed: nobody sees what might not last.
    books: tokio::sync::Mutex<Books>,
    delivery: Delivery,
    live: Mutex<Live>,
    models: Models,
    ingest: mpsc::Sender<Ingest>,
    samples: std::sync::mpsc::SyncSender<reference::Work>,
    readiness: Readiness,
    /// Something was counted or done: time for a look.
    changed: Notify,
    /// A rollout was created, whose versions may not be ready.
    created: Notify,
}

/// Runs what a judge cannot be without. Should it panic all the same, the judge ends
/// rather than look alive: whoever started it starts it again, from its disk.
fn never_ends(what: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(async move {
        if let Err(error) = tokio::spawn(work).await {
            tracing::error!(%error, "{what} has died: the judge ends");
            std::process::exit(70);
        }
    });
}

impl Service {
    /// Loads the books, and starts ingestion, inference and the control loop.
    ///
    /// Its plan is a new revision, since the terms may be new.
    ///
    /// # Errors
    /// A store that cannot be read or written.
    pub async fn start(
        settings: Settings,
        store: Arc<dyn Store>,
        clock: fn() -> Millis,
    ) -> Result<Arc<Self>, StoreError> {
        let mut books = Books::from_loaded(store.load().await?);
        let models = Models::new(settings.models.clone());
        models.load_all(books.entries().iter().map(|entry| &entry.rollout));
        let plan = books.next_plan(&settings.terms);
        store.commit(books.take_change(clock())).await?;
        let (ingest, reports) = mpsc::channel(INGEST_QUEUE);
        let (samples, work) = reference::queue();
        let service = Arc::new(Self {
            settings,
            clock,
            store,
            books: tokio::sync::Mutex::new(books),
            delivery: Delivery::new(&plan),
            live: Mutex::new(Live::default()),
            models,
            ingest,
            samples,
            readiness: Readiness::new(),
            changed: Notify::new(),
            created: Notify::new(),
        });
        never_ends("ingestion", Arc::clone(&service).take_reports(reports));
        never_ends("the control loop", Arc::clone(&service).control());
        never_ends("readiness", Arc::clone(&service).watch_readiness());
        reference::spawn(&service, work);
        Ok(service)
    }

    #[must_use]
    pub fn now(&self) -> Millis {
        (self.clock)()
    }

    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// What is only shown, and not worth a failure: another holder's panic is
    /// passed over.
    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what the books changed; if that fails, the books are read again
    /// from the store, so that memory never knows more than the disk.
    ///
    /// # Errors
    /// The store's; nothing of the change remains.
    async fn commit(&self, books: &mut Books) -> Result<(), StoreError> {
        let change = books.take_change(self.now());
        if change.is_empty() {
            return Ok(());
        }
        let Err(error) = self.store.commit(change).await else {
            return Ok(());
        };
        tracing::error!(%error, "a change could not be stored and is taken back");
        match self.store.load().await {
            Ok(loaded) => *books = Books::from_loaded(loaded),
            Err(error) => {
                // Without its store the judge knows nothing for sure; a restart
                // begins from what is on disk, and workers resend meanwhile.
                tracing::error!(%error, "the store cannot be read either: the judge ends");
                std::process::exit(70);
            }
        }
        Err(error)
    }

    /// Commits the books under a new revision and gives the plan out.
    async fn publish(&self, books: &mut Books) -> Result<(), StoreError> {
        let plan = books.next_plan(&self.settings.terms);
        self.commit(books).await?;
        self.delivery.publish(&plan, self.now());
        Ok(())
    }
}
