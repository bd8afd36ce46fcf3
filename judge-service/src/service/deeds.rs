//! Rollouts come and go: what may start, what takes another's place, what is forgotten.

use super::models::Kit;
use super::status::Status;
use super::{Asked, Service, reach};
use crate::books::{Books, Entry, Made};
use crate::domain::audit::Audited;
use crate::domain::check::check;
use crate::domain::decision::{Deed, Sealed};
use crate::domain::layers;
use crate::domain::plan::routable;
use crate::domain::{Delivered, Millis, Phase, Rollout, RolloutSpec};
use crate::forecast;
use crate::store::StoreError;
use schemars::JsonSchema;
use serde::Serialize;
use serinus_core::json::FieldError;
use serinus_core::plan::compiled::{MAX_ROLLOUTS, MAX_SUMS, sums_of};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, thiserror::Error)]
pub enum DeedError {
    #[error("{0}")]
    Spec(#[from] FieldError),
    #[error("there is a rollout `{0}` already; delete it first, or choose another id")]
    Exists(String),
    #[error("there is no rollout `{0}`")]
    Unknown(String),
    #[error("rollout `{rollout}` has no arm `{arm}`")]
    UnknownArm { rollout: String, arm: String },
    #[error("{0}")]
    Conflict(String),
    #[error("rollout `{rollout}` has changed since: it is at version {version} now")]
    Changed { rollout: String, version: String },
    #[error("something else was asked under the key `{0}`; what is asked again must be the same")]
    KeyIsUsed(String),
    #[error("it could not be stored, and is not done: {0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Internal(String),
}

/// A rollout that could start, as it would be.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Draft {
    pub id: String,
    pub phase: Phase,
    /// With all that was assumed.
    pub spec: RolloutSpec,
}

/// A rollout that may start.
struct Begun {
    rollout: Rollout,
    identity_key: String,
    models: Kit,
    /// The rollout whose place it takes.
    replaced: Option<String>,
}

/// What a person's deed did to a rollout, for the record.
pub(super) struct Change {
    pub deed: Deed,
    /// Arms that it took off.
    pub drops: Vec<String>,
    /// What followed from it, beside the person's own words.
    pub more_reasons: Vec<String>,
}

impl Change {
    pub fn of(deed: Deed) -> Self {
        Self {
            deed,
            drops: Vec::new(),
            more_reasons: Vec::new(),
        }
    }
}

impl Service {
    /// Starts a rollout.
    ///
    /// # Errors
    /// A spec that does not make sense, a model that does not load, an id that is taken.
    pub async fn create(
        self: &Arc<Self>,
        spec: RolloutSpec,
        asked: Asked,
    ) -> Result<Status, DeedError> {
        let service = Arc::clone(self);
        to_its_end(async move { service.create_now(spec, asked).await }).await
    }

    /// Whether a rollout could start now: checked as [`Self::create`] checks it, and
    /// nothing is kept.
    ///
    /// # Errors
    /// What a creation would be refused for.
    pub async fn try_out(self: &Arc<Self>, spec: RolloutSpec) -> Result<Draft, DeedError> {
        let service = Arc::clone(self);
        to_its_end(async move {
            let spec = sound(spec)?;
            let books = service.books().await?;
            if books.entry(&spec.id).is_some() {
                return Err(DeedError::Exists(spec.id));
            }
            let Begun { rollout, .. } = service.begin(&books, spec)?;
            Ok(Draft {
                id: rollout.spec.id.clone(),
                phase: rollout.phase,
                spec: rollout.spec,
            })
        })
        .await
    }

    async fn create_now(&self, spec: RolloutSpec, asked: Asked) -> Result<Status, DeedError> {
        let spec = sound(spec)?;
        let mut books = self.books().await?;
        if let Some(entry) = books.entry(&spec.id) {
            if asked.was_done(entry)? {
                return Ok(self.status_of(entry));
            }
            return Err(DeedError::Exists(spec.id));
        }
        let Begun {
            mut rollout,
            identity_key,
            models,
            replaced,
        } = self.begin(&books, spec)?;
        let id = rollout.spec.id.clone();
        if let Some(key) = asked.key {
            rollout.use_key(key);
        }
        // What is configured now is to hear of it all, however often the judge starts anew.
        let hooks = self.settings.webhooks.iter();
        rollout.told = hooks.map(|hook| (hook.name.clone(), 0)).collect();
        self.models.keep(&id, models);
        let mut reasons = Vec::new();
        if let Some(old) = &replaced {
            self.replace(&mut books, old, &id, &asked.who)?;
            reasons.push(format!("supersedes `{old}`"));
        }
        let first = rollout.spec.steps.first().map(|step| &step.weights);
        let first: Vec<String> = first
            .into_iter()
            .flatten()
            .map(|(arm, percent)| format!("{arm} {percent}%"))
            .collect();
        let waits = rollout.phase == Phase::Waiting;
        reasons.insert(
            0,
            match (waits, first.as_slice()) {
                (true, _) => "created; waits until every arm is ready".to_owned(),
                (false, []) => "created; nobody has the new version at first".to_owned(),
                (false, first) => format!("created; first step: {}", first.join(", ")),
            },
        );
        books.create(rollout, identity_key);
        self.created.notify_one();
        let made = Made::by_person(self.now(), Deed::Create, 0, reasons);
        self.recorded(&mut books, &id, made, &asked.who).await
    }

    /// What the books and the models allow. Nothing is kept.
    fn begin(&self, books: &Books, spec: RolloutSpec) -> Result<Begun, DeedError> {
        reach::check(&spec, self.settings.web.may_call())?;
        // Reads files, so other tasks must not wait on this thread.
        let models = tokio::task::block_in_place(|| self.models.load(&spec))?;
        let replaced = spec.supersedes.clone();
        let place = match &replaced {
            Some(old) => Some(can_replace(books, &spec, old)?),
            None => None,
        };
        let (digests, epoch) = (models.digests(), books.first_epoch());
        let mut rollout = Rollout::start(spec, digests, epoch, self.now())?;
        rollout.file_digests = models.file_digests();
        rollout.inherited_place = place;
        if let Some(layer) = &rollout.spec.layer {
            rollout.layer_part = Some(layers::place(
                layer,
                books.layer_parts(layer, replaced.as_deref()),
            )?);
        }
        let identity_key = random_key()?;
        routable(&rollout, &identity_key)?;
        has_room(books, &rollout.spec)?;
        Ok(Begun {
            rollout,
            identity_key,
            models,
            replaced,
        })
    }

    /// The old rollout's users go to its baseline, and all requests to the new one.
    fn replace(&self, books: &mut Books, old: &str, by: &str, who: &str) -> Result<(), DeedError> {
        let now = self.now();
        let entry = known_mut(books, old)?;
        let from_step = entry.rollout.step;
        entry.rollout.take_back(Phase::Superseded, now);
        let reasons = vec![format!("superseded by `{by}`")];
        let made = Made::by_person(now, Deed::Supersede, from_step, reasons);
        books
            .decide_by(old, made, who)
            .map_err(DeedError::Internal)?;
        Ok(())
    }

    /// Forgets a rollout and the secret of its users' pseudonyms. Its requests
    /// then go by Envoy's default route.
    ///
    /// # Errors
    /// No such rollout, or one that still splits traffic.
    pub async fn delete(self: &Arc<Self>, id: &str, asked: Asked) -> Result<(), DeedError> {
        let (service, id) = (Arc::clone(self), id.to_owned());
        to_its_end(async move { service.delete_now(&id, asked).await }).await
    }

    async fn delete_now(&self, id: &str, asked: Asked) -> Result<(), DeedError> {
        let mut books = self.books().await?;
        let entry = known(&books, id)?;
        asked.holds(entry)?;
        if entry.rollout.phase.is_live() {
            return Err(DeedError::Conflict(format!(
                "the rollout is {}; abort it first",
                entry.rollout.phase.name()
            )));
        }
        books.delete(id);
        let reasons = asked.reason.into_iter().collect();
        books.audit(id, &asked.who, "delete", reasons, self.now(), None);
        self.publish(&mut books).await?;
        drop(books);
        self.models.forget(id);
        self.live().forget(id);
        Ok(())
    }

    /// # Errors
    /// No such rollout, or a store that cannot be read.
    pub async fn decisions(&self, id: &str) -> Result<Vec<Sealed>, DeedError> {
        known(&*self.books().await?, id)?;
        Ok(self.store.decisions(id).await?)
    }

    /// How decisions reached the workers, by their numbers.
    ///
    /// # Errors
    /// No such rollout, or a store that fails.
    pub async fn delivered(&self, id: &str) -> Result<BTreeMap<u64, Delivered>, DeedError> {
        let books = self.books().await?;
        Ok(known(&books, id)?.rollout.delivered.clone())
    }

    /// # Errors
    /// A store that cannot be read.
    pub async fn decision(&self, id: &str, sequence: u64) -> Result<Option<Sealed>, DeedError> {
        Ok(self.store.decision(id, sequence).await?)
    }

    /// Who did what, after this number, oldest first.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub async fn audit(&self, after: u64, limit: u32) -> Result<Vec<Audited>, DeedError> {
        Ok(self.store.audit(after, limit).await?)
    }

    /// What a person does to a rollout that there is: once, if it was asked under a key,
    /// and only if the rollout is as it was when they looked at it. A change that fails
    /// must have changed nothing.
    pub(super) async fn by_person(
        &self,
        id: &str,
        asked: Asked,
        change: impl FnOnce(&mut Rollout, Millis) -> Result<Change, DeedError>,
    ) -> Result<Status, DeedError> {
        let mut books = self.books().await?;
        let now = self.now();
        let entry = known_mut(&mut books, id)?;
        if asked.was_done(entry)? {
            return Ok(self.status_of(entry));
        }
        asked.holds(entry)?;
        let from_step = entry.rollout.step;
        let change = change(&mut entry.rollout, now)?;
        asked.remember(entry);
        let mut reasons = vec![asked.reason.unwrap_or_else(|| "by hand".to_owned())];
        reasons.extend(change.more_reasons);
        let made = Made {
            drops: change.drops,
            ..Made::by_person(now, change.deed, from_step, reasons)
        };
        self.recorded(&mut books, id, made, &asked.who).await
    }

    /// A person's deed is in the books, on disk and in force.
    pub(super) async fn recorded(
        &self,
        books: &mut Books,
        id: &str,
        made: Made,
        who: &str,
    ) -> Result<Status, DeedError> {
        books
            .decide_by(id, made, who)
            .map_err(DeedError::Internal)?;
        self.publish(books).await?;
        self.changed.notify_one();
        Ok(self.status_of(known(books, id)?))
    }
}

/// # Errors
/// No such rollout.
pub(super) fn known<'books>(books: &'books Books, id: &str) -> Result<&'books Entry, DeedError> {
    books
        .entry(id)
        .ok_or_else(|| DeedError::Unknown(id.to_owned()))
}

fn known_mut<'books>(books: &'books mut Books, id: &str) -> Result<&'books mut Entry, DeedError> {
    books
        .entry_mut(id)
        .ok_or_else(|| DeedError::Unknown(id.to_owned()))
}

/// Runs a deed in a task of its own: a caller that hangs up must not leave one half
/// done, with books, disk and plan each saying something else.
pub(super) async fn to_its_end<T: Send + 'static>(
    deed: impl Future<Output = Result<T, DeedError>> + Send + 'static,
) -> Result<T, DeedError> {
    match tokio::spawn(deed).await {
        Ok(result) => result,
        Err(error) => Err(DeedError::Internal(error.to_string())),
    }
}

/// A spec with its defaults that makes sense by itself, and with its traffic.
fn sound(spec: RolloutSpec) -> Result<RolloutSpec, FieldError> {
    let spec = spec.completed();
    check(&spec)?;
    forecast::check(&spec)?;
    Ok(spec)
}

/// The place in the plan that a new rollout takes over from an old one.
fn can_replace(books: &Books, spec: &RolloutSpec, old: &str) -> Result<u64, FieldError> {
    let wrong = |field: &str, problem: String| Err(FieldError::new(field, problem));
    let Some(entry) = books.entry(old) else {
        return wrong("supersedes", format!("there is no rollout `{old}`"));
    };
    let old_rollout = &entry.rollout;
    if old_rollout.phase == Phase::Superseded {
        return wrong(
            "supersedes",
            format!("rollout `{old}` was superseded already"),
        );
    }
    if old_rollout.spec.matches != spec.matches {
        return wrong(
            "match",
            format!("is not that of `{old}`, whose requests this rollout is to have"),
        );
    }
    // Else everybody would silently be back on a version of before.
    let serves = &old_rollout.baseline;
    if matches!(old_rollout.phase, Phase::Promoted | Phase::Finished) && serves != spec.baseline() {
        return wrong(
            "baseline",
            format!(
                "is `{}`, but `{old}` promoted `{serves}`, which serves everybody now: that one is right",
                spec.baseline()
            ),
        );
    }
    Ok(old_rollout.place())
}

/// Whether the plan can hold one more rollout, and requests can reach it.
fn has_room(books: &Books, spec: &RolloutSpec) -> Result<(), DeedError> {
    if books.entries().len() >= MAX_ROLLOUTS {
        return Err(DeedError::Conflict(format!(
            "there are {MAX_ROLLOUTS} rollouts, which is all that a plan holds; delete one that is over first"
        )));
    }
    let sums = |spec: &RolloutSpec| sums_of(spec.arms.len(), spec.segments.len());
    let others = books.entries().iter().map(|entry| &entry.rollout.spec);
    let kept: usize = others.chain([spec]).map(sums).sum();
    if kept > MAX_SUMS {
        return Err(DeedError::Conflict(format!(
            "all rollouts with this one would have {kept} arms in their segments together, and a worker keeps sums for {MAX_SUMS}; delete one that is over first, or ask for fewer segments"
        )));
    }
    // The first that matches has a request, so one of the same match is never asked;
    // but for rollouts of one layer, which share out the users.
    let replaced = spec.supersedes.as_deref();
    let before = books.entries().iter().find(|entry| {
        let before = &entry.rollout.spec;
        if entry.rollout.phase == Phase::Superseded || replaced == Some(before.id.as_str()) {
            return false;
        }
        let share = spec
            .layer
            .as_ref()
            .is_some_and(|layer| before.is_in_layer(&layer.name));
        before.matches == spec.matches && !share
    });
    match before {
        None => Ok(()),
        Some(before) => Err(DeedError::Conflict(format!(
            "rollout `{}` has the same `match` and would have all its requests; it is {}: supersede it, delete it once it is over, match something else, or put both into one `layer`",
            before.rollout.spec.id,
            before.rollout.phase.name().replace('_', " ")
        ))),
    }
}

fn random_key() -> Result<String, DeedError> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| DeedError::Internal(format!("no randomness: {error}")))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::tests::{spec, spec_json};
    use serde_json::json;

    /// Each has 16 arms in 31 segments and the rest: 512 sums.
    fn large(number: usize) -> RolloutSpec {
        let mut document = spec_json();
        document["id"] = json!(format!("r{number}"));
        document["match"] = json!({"path_prefix": format!("/r{number}/")});
        let arms: Vec<_> = (0..16)
            .map(|arm| json!({"name": format!("a{arm}")}))
            .collect();
        document["arms"] = json!(arms);
        document["steps"] = json!([{"weights": {"a1": 1}}]);
        let when = json!([{"header": "x"}]);
        let segments = (0..31).map(|name| json!({"name": format!("s{name}"), "when": when}));
        document["segments"] = segments.collect();
        spec(&document).unwrap()
    }

    #[test]
    fn a_plan_that_workers_would_refuse_is_never_made() {
        let mut books = Books::default();
        for number in 0..4 {
            has_room(&books, &large(number)).unwrap();
            let rollout = Rollout::start(large(number), BTreeMap::new(), 1, 1_000).unwrap();
            books.create(rollout, "00".repeat(16));
        }
        let terms = crate::domain::plan::tests::terms();
        serinus_core::plan::compile(&books.plan(&terms)).unwrap();
        let error = has_room(&books, &large(4)).unwrap_err();
        assert!(error.to_string().contains("2560 arms"), "{error}");
    }
}
