//! The plan for people who deliver configuration themselves: fetched from a judge, and
//! written in a form that Envoy reads.

use crate::failure::Failure;
use crate::judge::{Call, Judge};
use crate::output::{complain, print};
use serde_json::{Map, Value};
use serinus_core::plan::Revision;
use serinus_judge::domain::plan::revision_in;
use serinus_judge::service::Published;
use serinus_judge::xds::{self, Plugin};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the judge holds a request for the next plan.
const WAIT: Duration = Duration::from_secs(20);

/// Between two attempts at a judge that does not answer: 0.25, 0.5 ... 5 seconds.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_LAST: Duration = Duration::from_secs(5);

pub enum Form {
    /// The filter's plugin configuration: these settings with the plan.
    PluginConfiguration(Map<String, Value>),
    /// What Envoy's `path_config_source` reads for ECDS.
    Ecds(Plugin),
}

pub struct HandOut {
    pub judge: Judge,
    pub form: Form,
    /// Standard output without one.
    pub output: Option<PathBuf>,
    /// Goes on with each new plan.
    pub watch: bool,
}

// === impl HandOut ===

impl HandOut {
    /// # Errors
    /// No plan, or one that cannot be written; with `watch` only the latter, since a
    /// judge that is away for a while leaves the file as it is.
    pub async fn run(&self) -> Result<(), Failure> {
        let mut known = None;
        let mut pause = PAUSE_FIRST;
        loop {
            match self.fetch(known).await {
                Ok(Some(plan)) => {
                    pause = PAUSE_FIRST;
                    known = Some(plan.revision);
                    self.hand_out(&plan)?;
                    if !self.watch {
                        return Ok(());
                    }
                }
                Ok(None) => pause = PAUSE_FIRST,
                Err(problem) if self.watch => {
                    complain(&format!("{problem}; trying again"));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_LAST);
                }
                Err(problem) => return Err(problem),
            }
        }
    }

    fn hand_out(&self, plan: &Published) -> Result<(), Failure> {
        let text = self
            .form
            .text(plan)
            .map_err(|error| format!("the judge's plan is no JSON: {error}"))?;
        match &self.output {
            None => print(&format!("{text}\n")),
            Some(path) => {
                replace(path, &text)
                    .map_err(|error| format!("failed to write {}: {error}", path.display()))?;
                complain(&format!(
                    "wrote plan {} to {}",
                    plan.revision,
                    path.display()
                ));
                Ok(())
            }
        }
    }

    /// The plan that is out, or with `known` the next one; `None` when there was none
    /// within the wait.
    async fn fetch(&self, known: Option<Revision>) -> Result<Option<Published>, Failure> {
        let (path, hold) = match known {
            None => ("/v1/plan".to_owned(), Duration::ZERO),
            Some(known) => {
                let wait = WAIT.as_secs();
                (format!("/v1/plan?revision={known}&wait={wait}"), WAIT)
            }
        };
        let mut call = Call::get(&path);
        call.hold = hold;
        let answer = self.judge.call(call).await?.accepted()?;
        if answer.status == 204 {
            return Ok(None);
        }
        let revision = revision(&answer.body)
            .ok_or_else(|| format!("GET {path} answered something that is no plan"))?;
        Ok(Some(Published {
            revision,
            bytes: answer.body,
        }))
    }
}

impl Form {
    fn text(&self, plan: &Published) -> Result<String, serde_json::Error> {
        match self {
            Self::PluginConfiguration(settings) => xds::configuration(settings, &plan.bytes),
            Self::Ecds(plugin) => xds::ecds_file(plugin, plan),
        }
    }
}

/// The rest of a plan is the filter's, whatever its version.
fn revision(plan: &[u8]) -> Option<Revision> {
    revision_in(&serde_json::from_slice(plan).ok()?)
}

/// Envoy sees a file only when another is renamed over it, and nobody is to see half of
/// one. Whoever may read the old one may read the new one.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    let mut file = fs::File::create(&beside)?;
    let written = fs::metadata(path)
        .map_or(Ok(()), |old| file.set_permissions(old.permissions()))
        .and_then(|()| writeln!(file, "{text}"))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_whole_with_its_permissions_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serinus.json");
        replace(&path, "one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        replace(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o640
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        // A folder cannot be replaced by a file.
        replace(folder.path(), "three").unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_plan_is_known_by_its_revision() {
        assert_eq!(
            revision(br#"{"revision": {"generation": 2, "counter": 7}, "later": {}}"#),
            Some(Revision {
                generation: 2,
                counter: 7
            })
        );
        for no_plan in ["", "{}", "[]", r#"{"revision": {"generation": 2}}"#] {
            assert_eq!(revision(no_plan.as_bytes()), None, "{no_plan}");
        }
    }
}
