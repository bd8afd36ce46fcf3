//! When there are enough events for an asymptotic bound to promote.

use serinus_stats::sequence::{Difference, Gate};

/// 50 events from 20 users of the arm, or else as many as control's rate lets
/// expect: an arm that is much better than control has few events, and a bound
/// that excludes the margin then errs on no side that matters, because at the
/// margin there would be even more.
pub fn enough(difference: &Difference) -> bool {
    let wanted = Gate::PROMOTION.canary_events;
    let expected = difference.n as f64 * difference.share * difference.control_rate;
    Gate::PROMOTION.is_open(difference)
        || expected >= wanted as f64 && difference.control_events >= wanted
}
