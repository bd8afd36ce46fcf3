//! What may start, and what takes another's place.

use super::deeds::{ServiceError, known_mut, no_rollout, others, to_its_end};
use super::models::Kit;
use super::status::Status;
use super::{Asked, Service, reach};
use crate::books::{Books, Made};
use crate::domain::check::{Unsound, check};
use crate::domain::decision::Deed;
use crate::domain::layers;
use crate::domain::plan::routable;
use crate::domain::spec::whole;
use crate::domain::{Phase, Rollout, RolloutSpec};
use crate::forecast;
use schemars::JsonSchema;
use serde::Serialize;
use serinus_core::json::FieldError;
use serinus_core::plan::compiled::{MAX_ROLLOUTS, MAX_SUMS, sums_of};
use std::sync::Arc;

/// A rollout that could start, as it would be.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Draft {
    pub id: String,
    pub phase: Phase,
    /// With all that was assumed.
    #[serde(serialize_with = "whole")]
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

impl Service {
    /// Starts a rollout.
    ///
    /// # Errors
    /// A spec that does not make sense, a model that does not load, an id that is taken.
    pub async fn create(
        self: &Arc<Self>,
        spec: RolloutSpec,
        asked: Asked,
    ) -> Result<Status, ServiceError> {
        let service = Arc::clone(self);
        to_its_end(async move { service.create_now(spec, asked).await }).await
    }

    /// Whether a rollout could start now: checked as [`Self::create`] checks it, and
    /// nothing is kept.
    ///
    /// # Errors
    /// What a creation would be refused for.
    pub async fn try_out(self: &Arc<Self>, spec: RolloutSpec) -> Result<Draft, ServiceError> {
        let service = Arc::clone(self);
        to_its_end(async move {
            let spec = sound(spec)?;
            let is_new = |books: &Books| match books.entry(&spec.id) {
                Some(_) => Err(ServiceError::Exists(spec.id.clone())),
                None => Ok(()),
            };
            is_new(&*service.books().await?)?;
            let models = service.models_of(&spec).await?;
            let books = service.books().await?;
            is_new(&books)?;
            let Begun { rollout, .. } = service.begin(&books, spec, models)?;
            Ok(Draft {
                id: rollout.spec.id.clone(),
                phase: rollout.phase,
                spec: rollout.spec,
            })
        })
        .await
    }

    async fn create_now(
        self: &Arc<Self>,
        spec: RolloutSpec,
        asked: Asked,
    ) -> Result<Status, ServiceError> {
        let spec = sound(spec)?;
        if let Some(status) = self.done_before(&*self.books().await?, &spec.id, &asked)? {
            return Ok(status);
        }
        let models = self.models_of(&spec).await?;
        let mut books = self.books().await?;
        // Somebody else may have been quicker.
        if let Some(status) = self.done_before(&books, &spec.id, &asked)? {
            return Ok(status);
        }
        let Begun {
            mut rollout,
            identity_key,
            models,
            replaced,
        } = self.begin(&books, spec, models)?;
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

    /// What the caller has created already by the same key; `None` where there is no
    /// rollout of that id.
    fn done_before(
        &self,
        books: &Books,
        id: &str,
        asked: &Asked,
    ) -> Result<Option<Status>, ServiceError> {
        match books.entry(id) {
            None => Ok(None),
            Some(entry) if asked.was_done(entry)? => Ok(Some(self.status_of(entry))),
            Some(_) => Err(ServiceError::Exists(id.to_owned())),
        }
    }

    /// The models that a spec names. Files may be large: nobody else waits for them, who
    /// reports or judges.
    async fn models_of(self: &Arc<Self>, spec: &RolloutSpec) -> Result<Kit, ServiceError> {
        reach::check(spec, self.settings.web.may_call())?;
        let (service, spec) = (Arc::clone(self), spec.clone());
        let loaded = tokio::task::spawn_blocking(move || service.models.load(&spec)).await;
        let loaded = loaded
            .map_err(|error| FieldError::new("arms", format!("a model did not load: {error}")))?;
        Ok(loaded?)
    }

    /// What the books allow. Nothing is kept.
    fn begin(&self, books: &Books, spec: RolloutSpec, models: Kit) -> Result<Begun, ServiceError> {
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
    fn replace(
        &self,
        books: &mut Books,
        old: &str,
        by: &str,
        who: &str,
    ) -> Result<(), ServiceError> {
        let now = self.now();
        let entry = known_mut(books, old)?;
        let from_step = entry.rollout.step;
        entry.rollout.take_back(Phase::Superseded, now);
        let reasons = vec![format!("superseded by `{by}`")];
        let made = Made::by_person(now, Deed::Supersede, from_step, reasons);
        books
            .decide_by(old, made, who)
            .map_err(ServiceError::Internal)?;
        Ok(())
    }
}

/// A spec with its defaults that makes sense by itself, and with its traffic.
fn sound(spec: RolloutSpec) -> Result<RolloutSpec, Unsound> {
    let spec = spec.completed();
    check(&spec)?;
    forecast::check(&spec)?;
    Ok(spec)
}

/// The place in the plan that a new rollout takes over from an old one.
fn can_replace(books: &Books, spec: &RolloutSpec, old: &str) -> Result<u64, FieldError> {
    let wrong = |field: &str, problem: String| Err(FieldError::new(field, problem));
    let Some(entry) = books.entry(old) else {
        let (problem, others) = (no_rollout(old), others(books, old));
        return wrong("supersedes", format!("{problem}; {others}"));
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
fn has_room(books: &Books, spec: &RolloutSpec) -> Result<(), ServiceError> {
    if books.entries().len() >= MAX_ROLLOUTS {
        return Err(ServiceError::Conflict(format!(
            "there are {MAX_ROLLOUTS} rollouts, which is all that a plan holds; delete one that is over first"
        )));
    }
    let sums = |spec: &RolloutSpec| sums_of(spec.arms.len(), spec.segments.len());
    let others = books.entries().iter().map(|entry| &entry.rollout.spec);
    let kept: usize = others.chain([spec]).map(sums).sum();
    if kept > MAX_SUMS {
        return Err(ServiceError::Conflict(format!(
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
        Some(before) => Err(ServiceError::Conflict(format!(
            "rollout `{}` has the same `match` and would have all its requests; it is {}: supersede it, delete it once it is over, match something else, or put both into one `layer`",
            before.rollout.spec.id,
            before.rollout.phase.words()
        ))),
    }
}

fn random_key() -> Result<String, ServiceError> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| ServiceError::Internal(format!("no randomness: {error}")))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::tests::{spec, spec_json};
    use serde_json::json;
    use std::collections::BTreeMap;

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
