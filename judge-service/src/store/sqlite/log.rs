//! SQLite's write-ahead log: what is committed is in it first, and is copied into the
//! database's pages later. By default whoever commits when the log is long copies it too,
//! and all who wait for that commit wait for seconds' worth of pages.

use sqlx::{Row, SqlitePool};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Mutex;

/// Committed bytes after which the log is copied. Under load each commit writes the same
/// pages again, and a copy takes the last of each.
const LONG: usize = 32 * 1024 * 1024;

/// The log begins anew only after a copy of all of it, and commits go on meanwhile: each
/// pass has less to copy than the one before.
const PASSES: usize = 8;

/// Pages of a log that no copy has caught up with; whoever commits then copies it: 512 MB.
pub const TOO_LONG: &str = "131072";

pub struct Log {
    pool: SqlitePool,
    grown: AtomicUsize,
    copying: Arc<Mutex<()>>,
}

impl Log {
    pub fn new(pool: SqlitePool) -> Arc<Self> {
        Arc::new(Self {
            pool,
            grown: AtomicUsize::new(0),
            copying: Arc::default(),
        })
    }

    /// So much was committed; copies the log if it is long.
    pub fn grew(self: &Arc<Self>, bytes: usize) {
        let before = self.grown.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) < LONG {
            return;
        }
        let Ok(turn) = Arc::clone(&self.copying).try_lock_owned() else {
            return;
        };
        self.grown.store(0, Ordering::Relaxed);
        let log = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = log.copy().await {
                // The next commits try again, and nothing is lost meanwhile.
                tracing::warn!(%error, "the database's log was not copied, and grows");
            }
            drop(turn);
        });
    }

    async fn copy(&self) -> Result<(), sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        for _ in 0..PASSES {
            let row = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)")
                .fetch_one(&mut *connection)
                .await?;
            let (pages, copied): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
            if copied >= pages {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::store::{Change, SessionsChange, Sqlite, Store};

    /// Lists are written behind each other, so all of this needs room.
    async fn three_commits(store: &Sqlite) {
        for _ in 0..3 {
            let sessions = Some(SessionsChange {
                all: false,
                bytes: vec![1; 1 << 20],
            });
            let change = Change {
                sessions,
                ..Change::default()
            };
            store.commit(change).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_log_that_was_copied_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("judge.sqlite");
        let store = Sqlite::open(&path).await.unwrap();
        let log = folder.path().join("judge.sqlite-wal");
        let length = || std::fs::metadata(&log).unwrap().len();
        three_commits(&store).await;
        let once = length();
        assert!(once > 3 << 20);
        for _ in 0..4 {
            store.log.copy().await.unwrap();
            three_commits(&store).await;
        }
        assert!(length() < 2 * once, "{} after {once}", length());
    }
}
