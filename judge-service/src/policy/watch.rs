//! After the promotion: the new version against those that were held back.

use super::view::Comparison;
use super::{lacking, removal, words};
use crate::domain::{Action, Bundle, MetricEvidence, SrmEvidence};

/// What a rollout does that is promoted and is not taken back.
pub fn watch(
    bundle: &Bundle,
    comparisons: &[Comparison<'_>],
    metrics: &[MetricEvidence],
    srm: &SrmEvidence,
) -> (Action, Vec<String>) {
    let spec = &bundle.rollout.spec;
    let held_back = spec.holdback_percent;
    if held_back <= 0.0 {
        let words =
            "promoted; with nobody held back there is no control, so harm is not testable any more";
        return (Action::Hold, vec![words.to_owned()]);
    }
    let watched = bundle.rollout.phase_lasted_ms(bundle.now_ms);
    let whole = spec.watch.seconds;
    let is_over = watched as f64 >= whole * 1_000.0;
    let mut doubts = lacking::unheard(bundle);
    doubts.extend(lacking::unsound(bundle, comparisons, srm));
    let worse = removal::acceptable(metrics);
    if !worse.is_empty() {
        doubts.push(
            "worse than tolerated, yet within the margin: a person is to `finish` or `abort`"
                .to_owned(),
        );
        doubts.extend(worse);
    }
    if !is_over || !doubts.is_empty() {
        let words = format!(
            "promoted; watching against the {held_back}% held back for {} of {whole} s",
            words::seconds(watched)
        );
        return (
            Action::Hold,
            core::iter::once(words).chain(doubts).collect(),
        );
    }
    // No harm among nobody is no good news, and may be all that there will be.
    let unseen = lacking::unseen(bundle, comparisons);
    if !unseen.is_empty() {
        let patience = whole + spec.deadline.seconds;
        let (action, then) = if watched as f64 >= patience * 1_000.0 {
            (Action::Finish, "and get the new version too")
        } else {
            (Action::Hold, "and are waited for: `finish` ends it")
        };
        let words = format!(
            "promoted, and watched for {} against the {held_back}% held back, who did not show enough to be compared, {then}",
            words::seconds(watched)
        );
        return (action, core::iter::once(words).chain(unseen).collect());
    }
    let words = format!(
        "watched for {whole} s against the {held_back}% held back, and no harm was found: they get the new version too"
    );
    (Action::Finish, vec![words])
}
