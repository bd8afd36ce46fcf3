//! Waiting for a condition. Nothing in the lab sleeps and hopes.

use crate::failure::Result;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks: short against everything that is waited for, and cheap
/// enough that ten waits at once do not show on two cores.
const LOOK: Duration = Duration::from_millis(20);

/// Looks until there is something to return.
///
/// # Errors
/// What the look itself failed with, at once; or, after `limit`, that `what`
/// did not come.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if start.elapsed() > limit {
            return Err(format!("waited {} s in vain for {what}", limit.as_secs_f32()).into());
        }
        sleep(LOOK).await;
    }
}
