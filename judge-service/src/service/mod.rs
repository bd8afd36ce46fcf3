//! Joins books, store, policy, inference and delivery. Knows no HTTP.

mod control;
mod deeds;
mod delivery;
mod incident;
mod ingest;
mod keep;
mod live;
pub mod models;
mod notices;
mod pace;
mod readiness;
mod reference;
mod room;
mod scale_down;
pub mod status;

pub use deeds::DeedError;
pub use delivery::{Published, WorkerState};
pub use ingest::{IngestError, wall_clock};
pub use live::{Counters, Example, Point};
pub use reference::SampleRefusal;
pub use room::Place;

use crate::books::Books;
use crate::domain::Millis;
use crate::domain::plan::Terms;
use crate::store::{Store, StoreError};
use delivery::Delivery;
use ingest::Ingest;
use keep::Trouble;
use live::Live;
use models::Models;
use pace::Pace;
use readiness::Readiness;
use room::Room;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

#[derive(Debug, Clone)]
pub struct Settings {
    /// Model descriptions that specs name lie below this folder.
    pub models: PathBuf,
    /// What holds for all rollouts; the report interval is the shortest.
    pub terms: Terms,
    /// The longest time between two looks at a rollout.
    pub evaluation_interval: Duration,
}

pub struct Service {
    settings: Settings,
    clock: fn() -> Millis,
    store: Arc<dyn Store>,
    /// Held while a change is committed: nobody sees what might not last.
    books: tokio::sync::Mutex<Books>,
    delivery: Delivery,
    live: Mutex<Live>,
    models: Models,
    trouble: Trouble,
    pace: Pace,
    /// Of reports the room bounds how many wait.
    ingest: mpsc::UnboundedSender<Ingest>,
    room: Room,
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
        let (ingest, reports) = mpsc::unbounded_channel();
        let (samples, work) = reference::queue();
        let service = Arc::new(Self {
            pace: Pace::new(settings.terms.report_interval_ms),
            settings,
            clock,
            store,
            books: tokio::sync::Mutex::new(books),
            delivery: Delivery::new(&plan),
            live: Mutex::new(Live::default()),
            models,
            trouble: Trouble::default(),
            ingest,
            room: Room::new(),
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
}
