//! Files that are read again when they change.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{SignalKind, signal};

/// A look at a few files costs microseconds.
const EVERY: Duration = Duration::from_secs(1);

/// What shows that a file is another: Kubernetes puts another one in its place, and an
/// editor writes into it.
#[derive(Debug, PartialEq, Eq)]
struct Stamp(Option<(SystemTime, u64, u64)>);

impl Stamp {
    fn of(path: &Path) -> Self {
        use std::os::unix::fs::MetadataExt;
        let about = std::fs::metadata(path).ok();
        Self(about.and_then(|about| Some((about.modified().ok()?, about.ino(), about.len()))))
    }
}

/// Calls `again` when one of the files has changed, and at each SIGHUP. Never returns.
///
/// What was read before this was called may have changed since: so it is called once at
/// once.
pub async fn on_change(paths: Vec<PathBuf>, again: impl Fn()) {
    let stamps = || -> Vec<Stamp> { paths.iter().map(|path| Stamp::of(path)).collect() };
    let mut before = stamps();
    again();
    let mut tick = tokio::time::interval(EVERY);
    let mut hangup = signal(SignalKind::hangup()).ok();
    loop {
        let asked = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        let was_asked = tokio::select! {
            _ = tick.tick() => false,
            _ = asked => true,
        };
        let now = stamps();
        if was_asked || now != before {
            before = now;
            again();
        }
    }
}
