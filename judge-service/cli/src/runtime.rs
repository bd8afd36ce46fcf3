//! One thread is enough for a command that calls the judge.

use crate::failure::Failure;

/// # Errors
/// What the work fails with, or a system that gives no timers.
pub fn run<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("failed to start: {error}"))?
        .block_on(work)
}
