//! Where each request is a unit of its own, a report lists none: what it counts says all
//! that its lists would.

use super::entry::grow;
use crate::domain::sums::Firsts;
use serinus_core::report::{ArmReport, SlotRow};

/// The epoch in which a unit had the same event before: no request comes twice.
pub const NEVER: u64 = 0;

/// Counts the requests of an arm as users who come once.
pub fn count(firsts: &mut Firsts, report: &ArmReport) {
    let total = |of: &dyn Fn(&SlotRow) -> u64| {
        let rows = report.slots.iter().map(of);
        rows.fold(0, u64::saturating_add)
    };
    grow(&mut firsts.new_users, total(&|row| row.1));
    let (finished, errors) = (total(&|row| row.2), total(&|row| row.3));
    if finished > 0 {
        let outcomes = firsts.outcomes.entry(NEVER).or_default();
        grow(&mut outcomes.users, finished);
        grow(&mut outcomes.bad, errors);
    }
    if errors > 0 {
        grow(firsts.errors.entry(NEVER).or_default(), errors);
    }
    for (edge, slow) in firsts.slow.iter_mut().enumerate() {
        let above = total(&|row| row.5.get(edge).copied().unwrap_or_default());
        if above > 0 {
            grow(slow.entry(NEVER).or_default(), above);
        }
    }
}
