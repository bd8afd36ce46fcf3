//! After the promotion: the new version against those that were held back.

use super::words;
use crate::domain::{Action, Bundle, SrmEvidence};

/// What a rollout does that is promoted and shows no harm.
pub fn watch(bundle: &Bundle, srm: &SrmEvidence) -> (Action, Vec<String>) {
    let spec = &bundle.rollout.spec;
    let held_back = spec.holdback_percent;
    if held_back <= 0.0 {
        let words =
            "promoted; with nobody held back there is no control, so harm is not testable any more";
        return (Action::Hold, vec![words.to_owned()]);
    }
    let watched = bundle.now_ms.saturating_sub(bundle.rollout.phase_since_ms);
    let whole = spec.watch.seconds;
    let is_over = watched as f64 >= whole * 1_000.0;
    if !is_over || bundle.workers.silent > 0 || srm.alarm {
        let words = format!(
            "promoted; watching against the {held_back}% held back for {} of {whole} s",
            words::seconds(watched)
        );
        return (Action::Hold, vec![words]);
    }
    let words = format!(
        "watched for {whole} s against the {held_back}% held back, and no harm was found: they get the new version too"
    );
    (Action::Finish, vec![words])
}
