//! The embedded store.

mod log;
mod remembered;
mod write;

use super::change::SCATTERED;
use super::convert::{
    add_sessions, add_sums, add_units, document, migrations, rollout, signed, unsigned,
};
use super::{Change, Loaded, LoadedRollout, Store, StoreError};
use crate::domain::Millis;
use crate::domain::audit::{Audited, Head};
use crate::domain::decision::Sealed;
use crate::domain::remembered::{Forgotten, Kind, Name, Remembered};
use async_trait::async_trait;
use futures_util::TryStreamExt;
use log::Log;
use serinus_core::plan::Revision;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Row, SqlitePool};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const MIGRATIONS: [(&str, &str); 5] = [
    ("judge", include_str!("../../migrations/sqlite/1_judge.sql")),
    (
        "lists of units",
        include_str!("../../migrations/sqlite/2_lists_of_units.sql"),
    ),
    (
        "lists of sessions",
        include_str!("../../migrations/sqlite/3_lists_of_sessions.sql"),
    ),
    ("audit", include_str!("../../migrations/sqlite/4_audit.sql")),
    (
        "remembered",
        include_str!("../../migrations/sqlite/5_remembered.sql"),
    ),
];

pub struct Sqlite {
    pool: SqlitePool,
    log: Arc<Log>,
    /// Held while the store is open: two judges on one file would each decide.
    _lock: File,
}

impl Sqlite {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// A file that is no database, or one that this version cannot read.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            // A commit is on disk when it returns, also if the power fails.
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("wal_autocheckpoint", log::TOO_LONG)
            .busy_timeout(Duration::from_secs(5));
        // One writer, and a few readers for the decisions that people look at.
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await?;
        migrations(&MIGRATIONS).run(&pool).await?;
        Ok(Self {
            log: Log::new(pool.clone()),
            pool,
            _lock: lock,
        })
    }
}

/// The lock is the file's and goes with the process, however that ends.
fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let open = File::options().create(true).append(true).open(&name);
    let file = open.map_err(|error| StoreError::Lock(error.to_string()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Lock(
            "another judge has it open; one file is for one judge".to_owned(),
        )),
        Err(TryLockError::Error(error)) => Err(StoreError::Lock(error.to_string())),
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn load(&self) -> Result<Loaded, StoreError> {
        let mut loaded = Loaded::default();
        let revision = sqlx::query("SELECT generation, counter FROM revision")
            .fetch_optional(&self.pool)
            .await?;
        if let Some(row) = revision {
            loaded.revision = Revision {
                generation: unsigned(row.try_get("generation")?),
                counter: unsigned(row.try_get("counter")?),
            };
        }
        let rows = sqlx::query("SELECT id, document, identity_key FROM rollouts ORDER BY position")
            .fetch_all(&self.pool)
            .await?;
        for row in rows {
            let id: String = row.try_get("id")?;
            let mut rollout = rollout(&id, row.try_get("document")?, row.try_get("identity_key")?)?;
            self.load_rest(&id, &mut rollout).await?;
            loaded.rollouts.push(rollout);
        }
        let rows = sqlx::query("SELECT list FROM session_lists ORDER BY position")
            .fetch_all(&self.pool)
            .await?;
        for row in rows {
            add_sessions(&mut loaded, row.try_get("list")?)?;
        }
        let row = sqlx::query("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1")
            .fetch_optional(&self.pool)
            .await?;
        if let Some(row) = row {
            loaded.audited = Some(Head {
                sequence: unsigned(row.try_get("sequence")?),
                hash: row.try_get("hash")?,
            });
        }
        Ok(loaded)
    }

    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        let bytes = change.bytes();
        let mut connection = self.pool.acquire().await?;
        let writing = async {
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            write::write(&mut transaction, change).await?;
            transaction.commit().await?;
            Ok(())
        };
        let written = writing.await;
        if written.is_ok() {
            self.log.grew(bytes);
        } else {
            // On a full disk SQLite rolls back by itself, and sqlx, which does not notice,
            // would begin no transaction on this connection any more.
            connection.close_on_drop();
        }
        written
    }

    async fn decisions(&self, rollout: &str) -> Result<Vec<Sealed>, StoreError> {
        let rows =
            sqlx::query("SELECT document FROM decisions WHERE rollout = ? ORDER BY sequence")
                .bind(rollout)
                .fetch_all(&self.pool)
                .await?;
        rows.iter()
            .map(|row| {
                document(
                    &format!("a decision of {rollout}"),
                    row.try_get("document")?,
                )
            })
            .collect()
    }

    async fn decision(&self, rollout: &str, sequence: u64) -> Result<Option<Sealed>, StoreError> {
        sqlx::query("SELECT document FROM decisions WHERE rollout = ? AND sequence = ?")
            .bind(rollout)
            .bind(signed(sequence))
            .fetch_optional(&self.pool)
            .await?
            .map(|row| {
                document(
                    &format!("decision {sequence} of {rollout}"),
                    row.try_get("document")?,
                )
            })
            .transpose()
    }

    async fn recall(&self, rollout: &str, wanted: &[Name]) -> Result<Vec<Remembered>, StoreError> {
        remembered::recall(&self.pool, rollout, wanted).await
    }

    async fn since_most(
        &self,
        rollout: &str,
        kind: Kind,
        most: u32,
    ) -> Result<Option<Millis>, StoreError> {
        remembered::since_most(&self.pool, rollout, kind, most).await
    }

    async fn forget(&self, what: &Forgotten) -> Result<u64, StoreError> {
        let gone = remembered::forget(&self.pool, what).await?;
        self.log.grew(gone as usize * SCATTERED);
        Ok(gone)
    }

    async fn forget_deleted(&self) -> Result<u64, StoreError> {
        let gone = remembered::forget_deleted(&self.pool).await?;
        self.log.grew(gone as usize * SCATTERED);
        Ok(gone)
    }

    async fn audit(&self, after: u64, limit: u32) -> Result<Vec<Audited>, StoreError> {
        let rows =
            sqlx::query("SELECT document FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?")
                .bind(signed(after))
                .bind(limit)
                .fetch_all(&self.pool)
                .await?;
        rows.iter()
            .map(|row| document("a record of what was done", row.try_get("document")?))
            .collect()
    }
}

impl Sqlite {
    async fn load_rest(&self, id: &str, loaded: &mut LoadedRollout) -> Result<(), StoreError> {
        let rows =
            sqlx::query("SELECT document FROM sums WHERE rollout = ? ORDER BY epoch, segment")
                .bind(id)
                .fetch_all(&self.pool)
                .await?;
        for row in rows {
            add_sums(loaded, row.try_get("document")?)?;
        }
        let mut rows =
            sqlx::query("SELECT list FROM unit_lists WHERE rollout = ? ORDER BY position")
                .bind(id)
                .fetch(&self.pool);
        while let Some(row) = rows.try_next().await? {
            add_units(loaded, row.try_get("list")?)?;
        }
        let row = sqlx::query(
            "SELECT sequence, hash FROM decisions WHERE rollout = ? ORDER BY sequence DESC LIMIT 1",
        )
        .bind(id)
        .fetch_optional(&self.pool)
        .await?;
        if let Some(row) = row {
            loaded.last_decision = Some((unsigned(row.try_get("sequence")?), row.try_get("hash")?));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EpochSums;
    use crate::domain::rollout::tests::rollout as digits;
    use crate::domain::sessions::SessionName;
    use crate::domain::units::UnitRecord;

    #[tokio::test]
    async fn a_file_is_for_one_judge() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("judge.sqlite");
        let first = Sqlite::open(&path).await.unwrap();
        let second = Sqlite::open(&path).await.map(drop).unwrap_err();
        assert!(second.to_string().contains("another judge"), "{second}");
        drop(first);
        Sqlite::open(&path).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("judge.sqlite");
        let text = "this is not a database, and long enough to be looked at";
        std::fs::write(&path, text).unwrap();
        assert!(Sqlite::open(&path).await.is_err());
    }

    /// As the first version wrote it: sums as JSON, a row for each user.
    #[tokio::test]
    async fn a_database_of_the_first_version_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("judge.sqlite");
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true);
        let old = SqlitePool::connect_with(options).await.unwrap();
        migrations(&MIGRATIONS[..1]).run(&old).await.unwrap();
        let document = serde_json::to_string(&digits()).unwrap();
        sqlx::query(
            "INSERT INTO rollouts (id, document, identity_key) VALUES ('digits', ?, 'key')",
        )
        .bind(document)
        .execute(&old)
        .await
        .unwrap();
        let sums = crate::domain::sums::tests::everything();
        let sums = EpochSums { epoch: 1, ..sums };
        sqlx::query("INSERT INTO sums VALUES ('digits', 1, 'gold', ?)")
            .bind(serde_json::to_string(&sums).unwrap())
            .execute(&old)
            .await
            .unwrap();
        let record = UnitRecord {
            exposed: 1,
            slow: [0x0102_0304; 12],
            ..UnitRecord::default()
        };
        for unit in [u64::MAX, 7] {
            let bytes = [1u32, 0, 0, 0, 0]
                .iter()
                .chain(&record.slow)
                .flat_map(|number| number.to_le_bytes())
                .collect::<Vec<u8>>();
            sqlx::query("INSERT INTO units VALUES ('digits', ?, ?)")
                .bind(u64::cast_signed(unit))
                .bind(bytes)
                .execute(&old)
                .await
                .unwrap();
        }
        for (session, seen) in [("0b".repeat(16), 9), ("0a".repeat(16), 4)] {
            sqlx::query("INSERT INTO sessions VALUES (?, ?, ?)")
                .bind(session)
                .bind(300 + seen)
                .bind(seen)
                .execute(&old)
                .await
                .unwrap();
        }
        old.close().await;

        let store = Sqlite::open(&path).await.unwrap();
        let loaded = store.load().await.unwrap();
        let entry = &loaded.rollouts[0];
        assert_eq!(entry.sums, [sums]);
        assert_eq!(entry.units.len(), 2);
        assert_eq!(entry.units.get(u64::MAX), Some(record));
        assert_eq!(entry.units.get(7), Some(record));
        let heard = |name: &str, last| (SessionName::read(&name.repeat(16)).unwrap(), last);
        assert_eq!(loaded.sessions, [heard("0a", 304), heard("0b", 309)]);
    }
}
