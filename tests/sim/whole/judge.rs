//! The judge without its service: the books, and a look at the one rollout in them as the
//! control loop has it.

use serde_json::json;
use serinus_core::json;
use serinus_core::plan::{self, CompiledPlan, Plan, Revision};
use serinus_judge::books::Books;
use serinus_judge::domain::evidence::Workers;
use serinus_judge::domain::plan::Terms;
use serinus_judge::domain::{Action, Bundle, Phase, Rollout, report};
use serinus_judge::{policy, reading};
use serinus_tests::failure::{During, Result};
use std::collections::BTreeMap;

const ID: &str = "digits";

/// As `serinus serve` has them.
const TERMS: Terms = Terms {
    report_interval_ms: 1_000,
    most_samples: u32::MAX,
    holdout_buckets: 0,
};

pub struct Judge {
    books: Books,
}

/// What a look came to.
pub enum Found {
    /// Why it is not time yet.
    Nothing(Vec<String>),
    /// A new epoch, and so a new plan.
    Measured,
    /// The rollout moved: why, and so a new plan.
    Decided(Vec<String>),
}

impl Judge {
    /// With a rollout of which nothing is said but what it is about, its two versions and
    /// perhaps how long a step lasts at least.
    pub fn new(identity_key: String, minimum_seconds: Option<u64>) -> Result<Self> {
        let mut written = json!({
            "id": ID,
            "match": {"path_prefix": "/v2/models/digits/"},
            "unit": [{"header": "x-user-id"}],
            "arms": [
                {"name": "control", "version": "v1"},
                {"name": "canary", "version": "v2"},
            ],
        });
        if let (Some(seconds), Some(fields)) = (minimum_seconds, written.as_object_mut()) {
            fields.insert("minimum".to_owned(), json!({"seconds": seconds}));
        }
        let spec = reading::checked_spec(&serde_json::to_vec(&written)?)
            .map_err(|error| error.to_string())?;
        let mut books = Books::default();
        let rollout = Rollout::start(spec, BTreeMap::new(), books.first_epoch(), 0)
            .map_err(|error| error.to_string())?;
        books.create(rollout, identity_key);
        Ok(Self { books })
    }

    pub fn revision(&self) -> Revision {
        self.books.revision()
    }

    pub fn rollout(&self) -> Result<&Rollout> {
        let entry = self.books.entry(ID).ok_or("the rollout is gone")?;
        Ok(&entry.rollout)
    }

    /// The next plan, as a worker has it when it has read it.
    pub fn gives_out(&mut self) -> Result<CompiledPlan> {
        let bytes = serde_json::to_vec(&self.books.next_plan(&TERMS))?;
        // The disk takes what there is to store.
        drop(self.books.take_change());
        let (plan, _) =
            json::read_tolerant::<Plan>(&bytes).map_err(|error| format!("a plan: {error}"))?;
        let plan = plan::compile(&plan).map_err(|error| format!("a plan: {error}"))?;
        Ok(plan)
    }

    pub fn takes(&mut self, bytes: &[u8]) -> Result<()> {
        let report = report::read(bytes).map_err(|error| format!("a report: {error}"))?;
        self.books.count(&report).during("count a report")?;
        Ok(())
    }

    pub fn looks(&mut self, workers: Workers, now_ms: u64) -> Result<Found> {
        let entry = self.books.entry_mut(ID).ok_or("the rollout is gone")?;
        if entry.rollout.is_tested() && entry.measure(now_ms) {
            return Ok(Found::Measured);
        }
        let verdict = policy::judge(&Bundle {
            workers,
            ..entry.bundle(now_ms)
        });
        if verdict.action == Action::Hold {
            return Ok(Found::Nothing(verdict.reasons));
        }
        let before = entry.rollout.clone();
        if entry.rollout.follow(&verdict, now_ms).is_none() {
            entry.rollout = before;
            return Ok(Found::Nothing(verdict.reasons));
        }
        entry.touch();
        Ok(Found::Decided(verdict.reasons))
    }
}

/// Whether nothing moves any more unless a person does something.
pub fn is_end(phase: Phase) -> bool {
    phase.is_over() || matches!(phase, Phase::Promoted | Phase::Paused)
}
