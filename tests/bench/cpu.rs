//! CPU time that a process has had.

use serinus_tests::failure::{During, Result};
use std::fs;

/// Nanoseconds on a CPU, of all threads that the process has now. Of the two
/// places where Linux says it, `schedstat` is exact and `stat` counts ticks of
/// 10 ms. A thread that ends is missed; Envoy and the peers end none.
pub fn of(process: u32) -> Result<u64> {
    let tasks = format!("/proc/{process}/task");
    let mut sum = 0;
    for task in fs::read_dir(&tasks).during(&format!("list {tasks}"))? {
        let file = task?.path().join("schedstat");
        let text = fs::read_to_string(&file).during(&format!("read {}", file.display()))?;
        let first = text.split_whitespace().next().unwrap_or_default();
        sum += first
            .parse::<u64>()
            .during(&format!("read {}", file.display()))?;
    }
    Ok(sum)
}
