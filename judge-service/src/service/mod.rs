//! Joins books, store, policy, inference and delivery. Knows no routes; what it asks of others goes by
//! [`crate::web`].

mod acting;
mod answers;
mod asked;
mod control;
mod creating;
mod deeds;
mod delivery;
mod dropping;
mod feedback;
mod forgetting;
mod gates;
mod heard;
mod incident;
mod ingest;
mod keep;
mod letters;
mod live;
pub mod models;
mod notices;
mod overtaking;
mod pace;
mod proxies;
mod reach;
mod readiness;
mod records;
mod room;
mod scale_down;
pub mod status;
mod watching;
mod webhooks;

pub use answers::status::AnswersStatus;
pub use answers::{SampleRefusal, Taken};
pub use asked::Asked;
pub use creating::Draft;
pub use deeds::ServiceError;
pub use delivery::{Delivery, Published, Standing, WorkerState};
pub use feedback::{Feedback, FeedbackProblem, Received};
pub use gates::prometheus::check_address as check_prometheus;
pub use gates::{GateKind, GateState};
pub use heard::{Heard, Poll};
pub use ingest::{IngestError, wall_clock};
pub use live::{Counters, Example, Point};
pub use proxies::{OBJECT, Proxies, ProxyState};
pub use room::Place;
pub use watching::{Picture, Seen, Watcher};
pub use webhooks::{Event, Format, Webhook, WebhookState};

use crate::books::{Books, Size};
use crate::domain::plan::Terms;
use crate::domain::{Millis, Phase, Rollout};
use crate::metrics::Measures;
use crate::store::{Shared, Store, StoreError};
use crate::web::Web;
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
use tokio::sync::{Notify, mpsc, watch};
use watching::Watching;

/// A commit takes milliseconds: a store that needs longer is not ready.
const READY_WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug, Clone)]
pub struct Settings {
    /// Model descriptions that specs name lie below this folder.
    pub models: PathBuf,
    /// What holds for all rollouts; the report interval is the shortest.
    pub terms: Terms,
    /// Where guardrails' queries are asked, such as `http://prometheus:9090`.
    pub prometheus: Option<String>,
    /// What others are called by.
    pub web: Web,
    /// What signs the questions that gates ask, as webhooks are signed by their own.
    pub gate_secret: Option<String>,
    /// Who is told of decisions.
    pub webhooks: Vec<Arc<Webhook>>,
    /// The longest time between two looks at a rollout.
    pub evaluation_interval: Duration,
}

pub struct Service {
    settings: Settings,
    clock: fn() -> Millis,
    /// When it began.
    since_ms: Millis,
    store: Arc<dyn Store>,
    /// What it shares with other judges, if there may be any.
    shared: Option<Arc<dyn Shared>>,
    /// Held while a change is committed: nobody sees what might not last.
    books: tokio::sync::Mutex<Books>,
    delivery: Arc<Delivery>,
    live: Mutex<Live>,
    models: Models,
    trouble: Trouble,
    pace: Pace,
    /// Of reports the room bounds how many wait.
    ingest: mpsc::UnboundedSender<Ingest>,
    room: Room,
    samples: answers::Queue,
    sender: answers::pairing::Sender,
    readiness: Readiness,
    overtaking: overtaking::Overtaking,
    gates: gates::Watch,
    web: Web,
    hooks: webhooks::Hooks,
    watching: Watching,
    measures: Measures,
    /// Something was counted or done: time for a look.
    changed: Notify,
    /// A rollout was created, whose versions may not be ready.
    created: Notify,
    /// Another judge has taken over.
    overruled: Notify,
    stopped: watch::Sender<bool>,
}

/// Runs what a judge cannot be without. Should it panic all the same, the judge ends
/// rather than look alive: whoever started it starts it again, from its disk.
fn never_ends(
    what: &'static str,
    mut stopped: watch::Receiver<bool>,
    work: impl Future<Output = ()> + Send + 'static,
) {
    let mut work = tokio::spawn(work);
    tokio::spawn(async move {
        tokio::select! {
            ended = &mut work => if let Err(error) = ended {
                tracing::error!(%error, "{what} has died: the judge ends");
                std::process::exit(70);
            },
            _ = stopped.wait_for(|stopped| *stopped) => work.abort(),
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
        shared: Option<Arc<dyn Shared>>,
        delivery: Arc<Delivery>,
        clock: fn() -> Millis,
    ) -> Result<Arc<Self>, StoreError> {
        let books = Books::from_loaded(store.load().await?);
        let models = Models::new(settings.models.clone());
        let entries = books.entries().iter();
        let rollouts: Vec<Rollout> = entries
            .map(|entry| &entry.rollout)
            .filter(|rollout| rollout.phase.is_live() || rollout.phase == Phase::Promoted)
            .cloned()
            .collect();
        let (ingest, reports) = mpsc::unbounded_channel();
        let (samples, work) = answers::queue();
        let service = Arc::new(Self {
            pace: Pace::new(settings.terms.report_interval_ms),
            web: settings.web.clone(),
            readiness: Readiness::new(settings.web.clone()),
            sender: answers::pairing::Sender::new(settings.web.clone()),
            settings,
            clock,
            since_ms: clock(),
            store,
            shared,
            books: tokio::sync::Mutex::new(books),
            delivery,
            live: Mutex::new(Live::default()),
            overtaking: overtaking::Overtaking::new(),
            models,
            trouble: Trouble::default(),
            ingest,
            room: Room::new(),
            samples,
            gates: gates::Watch::default(),
            hooks: webhooks::Hooks::default(),
            watching: Watching::new(),
            measures: Measures::default(),
            changed: Notify::new(),
            created: Notify::new(),
            overruled: Notify::new(),
            stopped: watch::Sender::new(false),
        });
        service.publish(&mut *service.books.lock().await).await?;
        service.runs("ingestion", Arc::clone(&service).take_reports(reports));
        service.runs("the control loop", Arc::clone(&service).control());
        for hook in &service.settings.webhooks {
            let telling = Arc::clone(&service).tell_of_decisions(Arc::clone(hook));
            service.runs("webhooks", telling);
        }
        service.runs("gates", Arc::clone(&service).watch_gates());
        service.runs("forgetting", Arc::clone(&service).forget());
        service.runs("readiness", Arc::clone(&service).watch_readiness());
        if let Some(shared) = &service.shared {
            let letters = Arc::clone(&service).read_letters(Arc::clone(shared));
            service.runs("reading of letters", letters);
        }
        answers::spawn(&service, work);
        // Of many large files a lease would run out.
        let loading = Arc::clone(&service).load_models(rollouts);
        service.runs("the loading of models", loading);
        Ok(service)
    }

    fn runs(&self, what: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        never_ends(what, self.stopped.subscribe(), work);
    }

    /// Ends what it does by itself. Who still holds it is told that nothing can be
    /// stored.
    pub fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// Returns when another judge has taken over.
    pub async fn overruled(&self) {
        self.overruled.notified().await;
    }

    #[must_use]
    pub fn now(&self) -> Millis {
        (self.clock)()
    }

    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Whether reports are taken and kept, and plans given out.
    ///
    /// # Errors
    /// Why not, in words for who asks.
    pub async fn ready(&self) -> Result<(), &'static str> {
        if *self.delivery.ending().borrow() {
            return Err("this judge ends");
        }
        match tokio::time::timeout(READY_WITHIN, self.books()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err("the store fails, and what is counted cannot be kept"),
            Err(_) => Err("the store does not answer"),
        }
    }

    #[must_use]
    pub fn measures(&self) -> &Measures {
        &self.measures
    }

    /// How much is remembered.
    ///
    /// # Errors
    /// A store that fails.
    pub async fn size(&self) -> Result<Size, StoreError> {
        Ok(self.books().await?.size())
    }

    /// Bytes of reports that wait to be counted.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.room.taken()
    }

    /// Commits that failed.
    #[must_use]
    pub fn store_failures(&self) -> u64 {
        self.trouble.failures()
    }

    /// What is only shown, and not worth a failure: another holder's panic is
    /// passed over.
    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
