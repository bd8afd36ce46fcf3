//! What must hold whatever the bytes are. Each check panics when it does not.
//!
//! libFuzzer calls them (`fuzz_targets`), and so do core's tests, with the seeds and
//! with random changes of them.

mod attributes;
mod decide;
mod json;
mod ledger;
mod plan;

pub use attributes::attributes;
pub use decide::decide;
pub use json::json;
pub use ledger::ledger;
pub use plan::plan;
