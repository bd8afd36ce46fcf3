//! What belongs to a worker's VM and outlives its root contexts.

use crate::host;
use crate::metrics::Metrics;
use serinus_core::ledger::Ledger;
use serinus_core::plan::CompiledPlan;
use serinus_core::sample::SampleQueue;
use std::cell::RefCell;
use std::rc::Rc;

/// One worker: a VM has one thread, so this is never shared.
pub struct Worker {
    pub ledger: Ledger,
    pub samples: SampleQueue,
    /// The plan that routes. It is kept when Envoy replaces the root context,
    /// so that a change of the plugin configuration moves no user.
    pub plan: Option<Rc<CompiledPlan>>,
    /// When the judge last answered, and how long that is ago.
    pub heard_us: u64,
    pub silent_us: u64,
    pub metrics: Metrics,
    /// Root contexts that were configured; the last of them speaks for the worker.
    pub roots: u32,
}

thread_local! {
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// Runs with the worker's state; it is made at the first call. `None` when it is
/// in use already, which no callback does.
pub fn with<T>(use_it: impl FnOnce(&mut Worker) -> T) -> Option<T> {
    WORKER.with(|cell| {
        let mut worker = cell.try_borrow_mut().ok()?;
        Some(use_it(worker.get_or_insert_with(|| Worker {
            ledger: Ledger::new(host::random_id()),
            samples: SampleQueue::default(),
            plan: None,
            heard_us: 0,
            silent_us: 0,
            metrics: Metrics::default(),
            roots: 0,
        })))
    })
}
