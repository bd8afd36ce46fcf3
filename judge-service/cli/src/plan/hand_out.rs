//! The plan for people who deliver configuration themselves: fetched from a judge, and
//! written in a form that Envoy reads.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Map, Value};
use serinus_core::plan::Revision;
use serinus_judge::service::Published;
use serinus_judge::xds::{self, Plugin};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the judge holds a request for the next plan.
const WAIT: Duration = Duration::from_secs(20);

/// Past the wait, what an answer may take on its way.
const PATIENCE: Duration = Duration::from_secs(10);

/// No plan is larger: the filter's reports of one are at most 4 MiB.
const LARGEST_PLAN: usize = 64 * 1024 * 1024;

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
    /// `http://host:port`
    pub judge: String,
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
    pub async fn run(&self) -> Result<(), String> {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let mut known = None;
        let mut pause = PAUSE_FIRST;
        loop {
            match self.fetch(&client, known).await {
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
                    eprintln!("serinus: {problem}; trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_LAST);
                }
                Err(problem) => return Err(problem),
            }
        }
    }

    fn hand_out(&self, plan: &Published) -> Result<(), String> {
        let text = self
            .form
            .text(plan)
            .map_err(|error| format!("the judge's plan is no JSON: {error}"))?;
        match &self.output {
            None => {
                let mut output = std::io::stdout().lock();
                writeln!(output, "{text}")
                    .and_then(|()| output.flush())
                    .map_err(|error| format!("failed to write: {error}"))
            }
            Some(path) => {
                replace(path, &text)
                    .map_err(|error| format!("failed to write {}: {error}", path.display()))?;
                eprintln!(
                    "serinus: wrote plan {} to {}",
                    plan.revision,
                    path.display()
                );
                Ok(())
            }
        }
    }

    /// The plan that is out, or with `known` the next one; `None` when there was none
    /// within the wait.
    async fn fetch(
        &self,
        client: &Client<HttpConnector, Empty<Bytes>>,
        known: Option<Revision>,
    ) -> Result<Option<Published>, String> {
        let judge = self.judge.trim_end_matches('/');
        let url = match known {
            None => format!("{judge}/v1/plan"),
            Some(known) => format!("{judge}/v1/plan?revision={known}&wait={}", WAIT.as_secs()),
        };
        let failed = |what: String| format!("GET {url} {what}");
        let uri = url
            .parse()
            .map_err(|error| format!("--judge: `{judge}` is no URL: {error}"))?;
        let exchange = async {
            let answer = client
                .get(uri)
                .await
                .map_err(|error| failed(format!("failed: {error}")))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LARGEST_PLAN).collect();
            let body = body
                .await
                .map_err(|error| failed(format!("broke off: {error}")))?;
            Ok::<_, String>((status.as_u16(), body.to_bytes()))
        };
        let (status, bytes) = tokio::time::timeout(WAIT + PATIENCE, exchange)
            .await
            .map_err(|_| failed("was not answered".to_owned()))??;
        match status {
            200 => {}
            204 => return Ok(None),
            other => return Err(failed(format!("answered {other}"))),
        }
        let revision = revision(&bytes)
            .ok_or_else(|| failed("answered something that is no plan".to_owned()))?;
        Ok(Some(Published { revision, bytes }))
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
    let plan: Value = serde_json::from_slice(plan).ok()?;
    let number = |name: &str| plan.get("revision")?.get(name)?.as_u64();
    Some(Revision {
        generation: number("generation")?,
        counter: number("counter")?,
    })
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
