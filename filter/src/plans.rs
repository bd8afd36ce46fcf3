//! A plan that arrives, by poll or within the plugin configuration: it is read,
//! compiled, and only then swapped in.

use crate::host;
use crate::worker::Worker;
use proxy_wasm::types::LogLevel;
use serinus_core::json;
use serinus_core::plan::{self, CompiledPlan, Plan};
use serinus_core::settings::Settings;
use std::rc::Rc;

/// What a poll brought.
///
/// # Errors
/// Why the plan before goes on, as text that is fit for a header.
pub fn install(worker: &mut Worker, settings: &Settings, body: &[u8]) -> Result<(), String> {
    let (document, ignored) =
        json::read_tolerant::<Plan>(body).map_err(|error| printable(&error.to_string()))?;
    let compiled = plan::compile(&document).map_err(|error| printable(&error.to_string()))?;
    swap_in(worker, settings, compiled, &ignored)
}

/// Users are never moved back: an older plan than the one that serves is passed over.
/// A judge that starts anew from an older database does so with a higher generation,
/// whose revisions are newer than all before.
///
/// # Errors
/// That the plan is older, as text that is fit for a header.
pub fn swap_in(
    worker: &mut Worker,
    settings: &Settings,
    compiled: CompiledPlan,
    ignored: &[String],
) -> Result<(), String> {
    if worker
        .plan
        .as_ref()
        .is_some_and(|current| current.revision > compiled.revision)
    {
        return Err(format!(
            "revision {} is older than the one that serves",
            compiled.revision
        ));
    }
    if !ignored.is_empty() {
        host::log(
            LogLevel::Warn,
            &format!(
                "serinus: plan {} has fields this filter does not know: {}",
                compiled.revision,
                ignored.join(", ")
            ),
        );
    }
    for rollout in &compiled.rollouts {
        for (asked, able, setting) in [
            (rollout.reads_bodies(), settings.hold_bodies, "hold_bodies"),
            (
                rollout.shadow.is_some(),
                settings.shadow_header.is_some(),
                "shadow_header",
            ),
        ] {
            if asked && !able {
                host::warn(&format!(
                    "serinus: rollout {} needs `{setting}` in the plugin configuration, and goes on without",
                    rollout.id
                ));
            }
        }
    }
    worker.metrics.revision(compiled.revision);
    worker.plan = Some(Rc::new(compiled));
    Ok(())
}

pub fn log_refusal(problem: &str) {
    host::log(
        LogLevel::Error,
        &format!("serinus: a plan is refused, and the one before goes on: {problem}"),
    );
}

/// Text fit for a header: what is not printable ASCII becomes `?`.
fn printable(text: &str) -> String {
    text.chars()
        .take(512)
        .map(|c| {
            if c.is_ascii_graphic() || c == ' ' {
                c
            } else {
                '?'
            }
        })
        .collect()
}
