//! The model artefacts of running rollouts, and how their servers' bodies are read.

use super::Service;
use super::answers::pairing::Again;
use super::answers::redaction::Redaction;
use crate::domain::spec::{AnswerTolerance, BodyProtocol, Privacy, RolloutSpec, Serves};
use crate::domain::{Millis, Rollout};
use crate::inference::{
    self, Instances, Model, OpenInference, PlainJson, Pointers, Protocol, Renamed, Tensors,
    Tolerance,
};
use serinus_core::identity::UnitHash;
use serinus_core::json::FieldError;
use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

pub struct Models {
    folder: PathBuf,
    /// By rollout.
    loaded: RwLock<HashMap<String, Arc<Kit>>>,
    /// By rollout: why its models are not there any more.
    lost: RwLock<HashMap<String, String>>,
}

/// What a rollout's samples are read and compared with.
pub struct Kit {
    /// In the order of the spec's arms; `None` for one that names no model.
    pub arms: Vec<Option<Reader>>,
    pub names: Vec<String>,
    pub control: usize,
    /// Of a served answer from the model's.
    pub tolerance: Tolerance,
    /// Of one model's values from the other's.
    pub difference: Tolerance,
    pub redaction: Redaction,
    /// Where a request's id is.
    pub request_header: String,
    pub keep_ms: Millis,
    pub keep_bytes: u64,
    pub again: Option<Again>,
    /// By arm: the first one whose model has the same inputs.
    alike: Vec<usize>,
    /// Nothing is kept of samples any more.
    closed: AtomicBool,
}

/// One arm's model, and its server's way to say inputs and answers.
pub struct Reader {
    pub model: Arc<dyn Model>,
    pub protocol: Box<dyn Protocol>,
}

// === impl Kit ===

impl Kit {
    #[must_use]
    pub fn digests(&self) -> BTreeMap<String, String> {
        self.of_models(|model| model.digest().to_owned())
    }

    /// Of the models' files alone.
    #[must_use]
    pub fn file_digests(&self) -> BTreeMap<String, String> {
        self.of_models(|model| model.file_digest().to_owned())
    }

    /// By arm.
    fn of_models(&self, of: impl Fn(&dyn Model) -> String) -> BTreeMap<String, String> {
        let arms = self.names.iter().zip(&self.arms);
        arms.filter_map(|(name, arm)| Some((name.clone(), of(&*arm.as_ref()?.model))))
            .collect()
    }

    /// The arm with which a request of this one is paired: control, or one of the others
    /// that the unit chooses.
    #[must_use]
    pub fn other_than(&self, arm: usize, unit: UnitHash) -> Option<usize> {
        if arm != self.control {
            return Some(self.control);
        }
        let others: Vec<usize> = (0..self.arms.len())
            .filter(|&other| other != self.control && self.arm(other).is_some())
            .collect();
        // The remainder is less than the number of arms.
        let chosen = unit.checked_rem(others.len() as u64)? as usize;
        others.get(chosen).copied()
    }

    #[must_use]
    pub fn arm(&self, index: usize) -> Option<&Reader> {
        self.arms.get(index)?.as_ref()
    }

    /// The first arm whose model has the inputs of this one's: what one reads of a request
    /// the other may be asked.
    #[must_use]
    pub fn inputs_like(&self, arm: usize) -> usize {
        self.alike.get(arm).copied().unwrap_or(arm)
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    #[cfg(test)]
    pub fn without_models() -> Self {
        Self {
            arms: Vec::new(),
            names: Vec::new(),
            control: 0,
            tolerance: Tolerance::default(),
            difference: Tolerance::default(),
            redaction: Redaction::default(),
            request_header: String::new(),
            keep_ms: 0,
            keep_bytes: 0,
            again: None,
            alike: Vec::new(),
            closed: AtomicBool::new(false),
        }
    }
}

fn alike(arms: &[Option<Reader>]) -> Vec<usize> {
    let shape = |reader: &Reader| -> Vec<(String, Vec<usize>)> {
        let inputs = reader.model.inputs().iter();
        inputs
            .map(|input| (input.name.clone(), input.shape.clone()))
            .collect()
    };
    let own: Vec<_> = arms.iter().map(|arm| arm.as_ref().map(shape)).collect();
    let first = |(index, shape): (usize, &Option<_>)| {
        let same = own
            .iter()
            .position(|other| other.is_some() && other == shape);
        same.unwrap_or(index)
    };
    own.iter().enumerate().map(first).collect()
}

/// Whether a model's file is the one that the spec means.
fn is_the_file(model: &dyn Model, wanted: Option<&str>) -> Result<(), FieldError> {
    let found = model.file_digest();
    match wanted {
        Some(wanted) if !wanted.eq_ignore_ascii_case(found) => Err(FieldError::new(
            "sha256",
            format!("is {wanted}, but the model's file has {found}"),
        )),
        _ => Ok(()),
    }
}

// === impl Models ===

impl Models {
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            loaded: RwLock::default(),
            lost: RwLock::default(),
        }
    }

    /// Loads the models that a spec names; nothing is kept yet.
    ///
    /// # Errors
    /// The first that does not load, or whose bodies could not be read, with its field.
    pub fn load(&self, spec: &RolloutSpec) -> Result<Kit, FieldError> {
        let guardrails = &spec.guardrails;
        let Privacy {
            redact, keep_bytes, ..
        } = &spec.privacy;
        let arms = spec
            .arms
            .iter()
            .enumerate()
            .map(|(index, arm)| -> Result<_, FieldError> {
                let Some(path) = &arm.model else {
                    return Ok(None);
                };
                let of_arm = |error: FieldError| error.below(format_args!("arms[{index}]"));
                let model = self.model(path, &arm.serves).map_err(of_arm)?;
                // Pointers are one rollout's, and belong to each of its models.
                let protocol = protocol(&*model, &arm.serves, &spec.protocol)?;
                is_the_file(&*model, arm.sha256.as_deref()).map_err(of_arm)?;
                Ok(Some(Reader { model, protocol }))
            });
        let names: Vec<String> = spec.arms.iter().map(|arm| arm.name.clone()).collect();
        let arms = arms.collect::<Result<Vec<_>, _>>()?;
        Ok(Kit {
            alike: alike(&arms),
            closed: AtomicBool::new(false),
            arms,
            control: spec
                .arms
                .iter()
                .position(|arm| arm.name == spec.control())
                .unwrap_or_default(),
            tolerance: tolerance(&guardrails.agreement.tolerance),
            difference: tolerance(
                &guardrails
                    .difference
                    .as_ref()
                    .map(|difference| difference.tolerance.clone())
                    .unwrap_or_default(),
            ),
            redaction: Redaction::new(redact),
            request_header: spec.remember.request_header.clone(),
            keep_ms: spec.privacy.keep_ms(),
            keep_bytes: *keep_bytes,
            again: spec
                .pairing
                .as_ref()
                .map(|pairing| Again::new(pairing, &spec.matches, &names)),
            names,
        })
    }

    /// # Errors
    /// A model that does not load, or is not as the arm serves it, with a field below the arm.
    fn model(&self, path: &str, serves: &Serves) -> Result<Arc<dyn Model>, FieldError> {
        let below = self.below_folder(path).ok_or_else(|| {
            let problem = format!("`{path}` is no plain path below the judge's models folder");
            FieldError::new("model", problem)
        })?;
        let model =
            inference::load(&below).map_err(|error| FieldError::new("model", error.to_string()))?;
        let known: Vec<&str> = model
            .inputs()
            .iter()
            .map(|input| input.name.as_str())
            .collect();
        let mut named = serves.inputs.keys();
        if let Some(unknown) = named.find(|name| !known.contains(&name.as_str())) {
            return Err(FieldError::new(
                format!("serves.inputs.{unknown}"),
                format!("`{path}` has no such input, only {}", known.join(", ")),
            ));
        }
        Ok(model)
    }

    /// From now on a rollout's samples are compared with these.
    pub fn keep(&self, rollout: &str, kit: Kit) {
        self.loaded
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(rollout.to_owned(), Arc::new(kit));
    }

    /// The models of a rollout that a restarted judge goes on with.
    ///
    /// # Errors
    /// Why they are not used: better no comparison than a wrong one.
    fn load_again(&self, rollout: &Rollout) -> Result<Kit, String> {
        match self.load(&rollout.spec) {
            Ok(kit) if kit.digests() == rollout.digests => Ok(kit),
            Ok(_) => Err("a model file has changed since the rollout was created".to_owned()),
            Err(error) => Err(format!("a model does not load any more: {error}")),
        }
    }

    fn lose(&self, rollout: &str, why: String) {
        self.lost
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(rollout.to_owned(), why);
    }

    /// What a person should know of a rollout's models.
    pub fn notice(&self, rollout: &str) -> Option<String> {
        let lost = self.lost.read().unwrap_or_else(PoisonError::into_inner);
        let why = lost.get(rollout)?;
        Some(format!("samples are not compared: {why}"))
    }

    /// Samples that are under way leave nothing behind any more, or do again.
    pub fn close(&self, rollout: &str, closed: bool) {
        if let Some(kit) = self.get(rollout) {
            kit.closed.store(closed, Ordering::Release);
        }
    }

    pub fn forget(&self, rollout: &str) {
        self.close(rollout, true);
        self.loaded
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(rollout);
        self.lost
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(rollout);
    }

    #[must_use]
    pub fn get(&self, rollout: &str) -> Option<Arc<Kit>> {
        self.loaded
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(rollout)
            .cloned()
    }

    fn below_folder(&self, path: &str) -> Option<PathBuf> {
        let path = Path::new(path);
        let plain = path
            .components()
            .all(|component| matches!(component, Component::Normal(_)));
        (plain && path.components().next().is_some()).then(|| self.folder.join(path))
    }
}

// === impl Service ===

impl Service {
    /// Loads the models of rollouts that this judge goes on with, one rollout after the
    /// other and beside all else.
    pub(super) async fn load_models(self: Arc<Self>, rollouts: Vec<Rollout>) {
        for rollout in rollouts {
            let (id, created_ms) = (rollout.spec.id.clone(), rollout.created_ms);
            let service = Arc::clone(&self);
            let loading = move || service.models.load_again(&rollout);
            let loaded = tokio::task::spawn_blocking(loading).await;
            let loaded = loaded.unwrap_or_else(|error| Err(error.to_string()));
            // Meanwhile it may have been deleted, and another created by its name.
            let books = self.books.lock().await;
            let is_there = books
                .entry(&id)
                .is_some_and(|entry| entry.rollout.created_ms == created_ms);
            match loaded {
                _ if !is_there => {}
                Ok(kit) => self.models.keep(&id, kit),
                Err(why) => {
                    tracing::error!(rollout = %id, why, "samples are not compared");
                    self.models.lose(&id, why);
                }
            }
        }
    }
}

/// # Errors
/// Pointers by which a model's bodies cannot be read, with their field of the rollout.
fn protocol(
    model: &dyn Model,
    serves: &Serves,
    protocol: &BodyProtocol,
) -> Result<Box<dyn Protocol>, FieldError> {
    let tensors = Tensors::for_model(model, &renamed(serves));
    Ok(match protocol {
        BodyProtocol::OpenInference => Box::new(OpenInference { tensors }),
        BodyProtocol::KserveV1 => Box::new(Instances { tensors }),
        BodyProtocol::Json(pointers) => {
            let pointers = Pointers {
                inputs: pointers.inputs.clone(),
                label: pointers.label.clone(),
                probabilities: pointers.probabilities.clone(),
            };
            let json = PlainJson::new(model, tensors, pointers)
                .map_err(|error| FieldError::new("protocol.json", error.to_string()))?;
            Box::new(json)
        }
    })
}

fn renamed(serves: &Serves) -> Renamed {
    Renamed {
        inputs: serves.inputs.clone(),
        label: serves.label.clone(),
        probabilities: serves.probabilities.clone(),
        label_names: serves.label_names.clone(),
    }
}

// The casts lose only digits that a float32 model does not have.
fn tolerance(spec: &AnswerTolerance) -> Tolerance {
    Tolerance {
        absolute: spec.absolute as f32,
        relative: spec.relative as f32,
        cosine: spec.cosine.map(|distance| distance as f32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::tests::{spec, spec_json};
    use serde_json::json;

    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

    fn kit(models: &[&str]) -> Kit {
        let mut document = spec_json();
        let arms = models.iter().enumerate();
        let arms: Vec<_> = arms
            .map(|(arm, model)| json!({"name": format!("a{arm}"), "model": model}))
            .collect();
        document["arms"] = json!(arms);
        document["steps"] = json!([{"weights": {"a1": 10}}]);
        let models = Models::new(PathBuf::from(ROOT));
        models.load(&spec(&document).unwrap()).unwrap()
    }

    #[test]
    fn a_model_is_asked_only_what_it_reads() {
        let digits = ["tests/models/digits-v1.json", "tests/models/digits-v2.json"];
        let oracles = "judge-service/inference/tests/oracles";
        let mlp = format!("{oracles}/onnx-mlp.json");
        let other = format!("{oracles}/xgb-binary.json");
        let kit = kit(&[digits[0], digits[1], &mlp, &other]);
        let alike: Vec<usize> = (0..4).map(|arm| kit.inputs_like(arm)).collect();
        assert_eq!(alike, [0, 0, 2, 3]);
    }

    #[test]
    fn what_is_closed_can_be_opened_again() {
        let models = Models::new(PathBuf::from(ROOT));
        models.keep("r", kit(&["tests/models/digits-v1.json"; 2]));
        let kept = models.get("r").unwrap();
        models.close("r", true);
        assert!(kept.is_closed());
        models.close("r", false);
        assert!(!kept.is_closed());
        models.forget("r");
        assert!(kept.is_closed(), "what is under way leaves nothing");
    }
}
