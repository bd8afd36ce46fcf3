//! The model artefacts of running rollouts.

use crate::domain::spec::RolloutSpec;
use crate::domain::{Phase, Rollout};
use crate::inference::{self, Model};
use serinus_core::json::FieldError;
use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

pub struct Models {
    folder: PathBuf,
    /// By (rollout, arm).
    loaded: RwLock<HashMap<(String, String), Arc<dyn Model>>>,
}

/// Models by arm.
pub struct LoadedModels(Vec<(String, Arc<dyn Model>)>);

impl LoadedModels {
    #[must_use]
    pub fn digests(&self) -> BTreeMap<String, String> {
        let models = self.0.iter();
        models
            .map(|(arm, model)| (arm.clone(), model.digest().to_owned()))
            .collect()
    }
}

impl Models {
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            loaded: RwLock::default(),
        }
    }

    /// Loads the models that a spec names; nothing is kept yet.
    ///
    /// # Errors
    /// The first that does not load, with its field.
    pub fn load(&self, spec: &RolloutSpec) -> Result<LoadedModels, FieldError> {
        let mut models = Vec::new();
        for (index, arm) in spec.arms.iter().enumerate() {
            let Some(path) = &arm.model else { continue };
            let field = || format!("arms[{index}].model");
            let path = self.below_folder(path).ok_or_else(|| {
                FieldError::new(
                    field(),
                    format!("`{path}` is no plain path below the judge's models folder"),
                )
            })?;
            let model = inference::load(&path)
                .map_err(|error| FieldError::new(field(), error.to_string()))?;
            models.push((arm.name.clone(), model));
        }
        Ok(LoadedModels(models))
    }

    /// From now on a rollout's samples are compared with these.
    pub fn keep(&self, rollout: &str, models: LoadedModels) {
        let named = models
            .0
            .into_iter()
            .map(|(arm, model)| ((rollout.to_owned(), arm), model));
        self.loaded
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(named);
    }

    /// Loads the models of rollouts that a restarted judge goes on with. One that
    /// is gone or changed is not used: better no comparison than a wrong one.
    pub fn load_all<'a>(&self, rollouts: impl Iterator<Item = &'a Rollout>) {
        for rollout in
            rollouts.filter(|rollout| rollout.phase.is_live() || rollout.phase == Phase::Promoted)
        {
            let id = &rollout.spec.id;
            match self.load(&rollout.spec) {
                Ok(models) if models.digests() == rollout.digests => self.keep(id, models),
                Ok(_) => {
                    tracing::error!(rollout = %id, "a model file has changed since the rollout was created; its samples are not compared");
                }
                Err(error) => {
                    tracing::error!(rollout = %id, %error, "a model does not load; its samples are not compared")
                }
            }
        }
    }

    pub fn forget(&self, rollout: &str) {
        self.loaded
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(id, _), _| id != rollout);
    }

    #[must_use]
    pub fn get(&self, rollout: &str, arm: &str) -> Option<Arc<dyn Model>> {
        let key = (rollout.to_owned(), arm.to_owned());
        self.loaded
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
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
