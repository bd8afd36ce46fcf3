//! The embedded store.

use super::{Change, Loaded, LoadedRollout, Store, StoreError};
use crate::domain::decision::Sealed;
use crate::domain::units::UnitRecord;
use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serinus_core::plan::Revision;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row, SqlSafeStr, SqlitePool};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

/// A worker session that was silent this long will not resend anything.
const SESSION_KEPT_MS: u64 = 7 * 24 * 3_600 * 1_000;

pub struct Sqlite {
    pool: SqlitePool,
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
            .busy_timeout(Duration::from_secs(5));
        // One writer, and a few readers for the decisions that people look at.
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await?;
        migrations().run(&pool).await?;
        Ok(Self { pool, _lock: lock })
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

/// Embedded by hand: the macro for it would bring sqlx's whole compile-time
/// checker with it.
fn migrations() -> Migrator {
    let first = include_str!("../../migrations/sqlite/1_judge.sql");
    Migrator::with_migrations(vec![Migration::new(
        1,
        "judge".into(),
        MigrationType::Simple,
        first.into_sql_str(),
        false,
    )])
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
            loaded.rollouts.push(LoadedRollout {
                rollout: document(&format!("rollout {id}"), row.try_get("document")?)?,
                identity_key: row.try_get("identity_key")?,
                sums: self.sums(&id).await?,
                units: self.units(&id).await?,
                last_decision: self.last_decision(&id).await?,
            });
        }
        let rows = sqlx::query("SELECT session, sequence FROM sessions")
            .fetch_all(&self.pool)
            .await?;
        for row in rows {
            loaded
                .sessions
                .push((row.try_get("session")?, unsigned(row.try_get("sequence")?)));
        }
        Ok(loaded)
    }

    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        if let Some(Revision {
            generation,
            counter,
        }) = change.revision
        {
            sqlx::query(
                "INSERT INTO revision (one, generation, counter) VALUES (1, ?, ?)
                 ON CONFLICT (one) DO UPDATE SET generation = excluded.generation, counter = excluded.counter",
            )
            .bind(signed(generation))
            .bind(signed(counter))
            .execute(&mut *transaction)
            .await?;
        }
        for id in &change.deleted {
            sqlx::query("DELETE FROM rollouts WHERE id = ?")
                .bind(id)
                .execute(&mut *transaction)
                .await?;
        }
        for (rollout, identity_key) in &change.rollouts {
            sqlx::query(
                "INSERT INTO rollouts (id, document, identity_key) VALUES (?, ?, ?)
                 ON CONFLICT (id) DO UPDATE SET document = excluded.document",
            )
            .bind(&rollout.spec.id)
            .bind(json("a rollout", rollout)?)
            .bind(identity_key)
            .execute(&mut *transaction)
            .await?;
        }
        for (rollout, sums) in &change.sums {
            sqlx::query(
                "INSERT INTO sums (rollout, epoch, segment, document) VALUES (?, ?, ?, ?)
                 ON CONFLICT (rollout, epoch, segment) DO UPDATE SET document = excluded.document",
            )
            .bind(rollout)
            .bind(signed(sums.epoch))
            .bind(sums.segment.as_deref().unwrap_or_default())
            .bind(json("sums", sums)?)
            .execute(&mut *transaction)
            .await?;
        }
        for (rollout, unit, record) in &change.units {
            sqlx::query(
                "INSERT INTO units (rollout, unit, record) VALUES (?, ?, ?)
                 ON CONFLICT (rollout, unit) DO UPDATE SET record = excluded.record",
            )
            .bind(rollout)
            .bind(unit.cast_signed())
            .bind(record.to_bytes())
            .execute(&mut *transaction)
            .await?;
        }
        for (session, sequence) in &change.sessions {
            sqlx::query(
                "INSERT INTO sessions (session, sequence, seen_ms) VALUES (?, ?, ?)
                 ON CONFLICT (session) DO UPDATE SET sequence = excluded.sequence, seen_ms = excluded.seen_ms",
            )
            .bind(session)
            .bind(signed(*sequence))
            .bind(signed(change.now_ms))
            .execute(&mut *transaction)
            .await?;
        }
        for sealed in &change.decisions {
            sqlx::query(
                "INSERT INTO decisions (rollout, sequence, hash, document) VALUES (?, ?, ?, ?)",
            )
            .bind(&sealed.decision.rollout)
            .bind(signed(sealed.decision.sequence))
            .bind(&sealed.hash)
            .bind(json("a decision", &sealed)?)
            .execute(&mut *transaction)
            .await?;
        }
        if !change.rollouts.is_empty() {
            sqlx::query("DELETE FROM sessions WHERE seen_ms < ?")
                .bind(signed(change.now_ms.saturating_sub(SESSION_KEPT_MS)))
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
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
}

impl Sqlite {
    async fn sums(&self, rollout: &str) -> Result<Vec<crate::domain::EpochSums>, StoreError> {
        let rows =
            sqlx::query("SELECT document FROM sums WHERE rollout = ? ORDER BY epoch, segment")
                .bind(rollout)
                .fetch_all(&self.pool)
                .await?;
        rows.iter()
            .map(|row| document(&format!("sums of {rollout}"), row.try_get("document")?))
            .collect()
    }

    async fn units(&self, rollout: &str) -> Result<Vec<(u64, UnitRecord)>, StoreError> {
        let rows = sqlx::query("SELECT unit, record FROM units WHERE rollout = ?")
            .bind(rollout)
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| {
                let unit: i64 = row.try_get("unit")?;
                let record = UnitRecord::from_bytes(row.try_get("record")?).ok_or_else(|| {
                    StoreError::Damaged {
                        what: format!("a unit of {rollout}"),
                        problem: "its record has another length".to_owned(),
                    }
                })?;
                Ok((unit.cast_unsigned(), record))
            })
            .collect()
    }

    async fn last_decision(&self, rollout: &str) -> Result<Option<(u64, String)>, StoreError> {
        let row = sqlx::query(
            "SELECT sequence, hash FROM decisions WHERE rollout = ? ORDER BY sequence DESC LIMIT 1",
        )
        .bind(rollout)
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| Ok((unsigned(row.try_get("sequence")?), row.try_get("hash")?)))
            .transpose()
    }
}

/// SQLite's numbers are signed; ours that are counted stay far below 2^63.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn document<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Damaged {
        what: what.to_owned(),
        problem: error.to_string(),
    })
}

fn json<T: serde::Serialize>(what: &str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Damaged {
        what: what.to_owned(),
        problem: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::books::{Books, Made};
    use crate::domain::decision::{By, Deed};
    use crate::domain::rollout::tests::rollout;

    fn made(reason: &str) -> Made {
        Made {
            at_ms: 1,
            deed: Deed::Create,
            by: By::Person,
            from_step: 0,
            drops: vec![],
            reasons: vec![reason.to_owned()],
            evidence: None,
            evidence_before: None,
        }
    }

    #[tokio::test]
    async fn what_is_committed_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("judge.sqlite");
        let mut books = Books::default();
        books.create(rollout(), "0a".repeat(16));
        let first = books.decide("digits", made("first")).unwrap();
        let plan = books.next_plan(&crate::domain::plan::tests::terms());
        let mut change = books.take_change(5);
        change.sessions.push(("5e".repeat(16), 3));
        let record = UnitRecord {
            exposed: 1,
            ..UnitRecord::default()
        };
        change.units.push(("digits".to_owned(), u64::MAX, record));
        let store = Sqlite::open(&path).await.unwrap();
        store.commit(change).await.unwrap();
        let second = Sqlite::open(&path).await.map(drop).unwrap_err();
        assert!(second.to_string().contains("another judge"), "{second}");
        drop(store);

        let store = Sqlite::open(&path).await.unwrap();
        let loaded = store.load().await.unwrap();
        assert_eq!(loaded.revision, plan.revision);
        assert_eq!(loaded.sessions, [("5e".repeat(16), 3)]);
        let entry = &loaded.rollouts[0];
        assert_eq!(
            (&entry.rollout, entry.identity_key.as_str()),
            (&rollout(), "0a".repeat(16).as_str())
        );
        assert_eq!(entry.sums, [crate::domain::EpochSums::new(1, 2)]);
        assert_eq!(entry.units, [(u64::MAX, record)]);
        assert_eq!(entry.last_decision, Some((1, first.hash.clone())));

        let mut books = Books::from_loaded(loaded);
        let second = books.decide("digits", made("second")).unwrap();
        assert_eq!(
            (second.decision.sequence, &second.decision.previous_hash),
            (2, &first.hash)
        );
        store.commit(books.take_change(6)).await.unwrap();
        assert_eq!(
            store.decisions("digits").await.unwrap(),
            [first.clone(), second]
        );
        assert_eq!(store.decision("digits", 1).await.unwrap(), Some(first));
        assert_eq!(store.decision("digits", 9).await.unwrap(), None);

        books.delete("digits");
        store.commit(books.take_change(7)).await.unwrap();
        assert!(store.load().await.unwrap().rollouts.is_empty());
        assert!(store.decisions("digits").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_change_is_all_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("judge.sqlite"))
            .await
            .unwrap();
        let mut change = Change {
            sessions: vec![("5e".repeat(16), 1)],
            ..Change::default()
        };
        // Sums of a rollout that does not exist.
        change
            .sums
            .push(("nobody".to_owned(), crate::domain::EpochSums::new(1, 2)));
        assert!(store.commit(change).await.is_err());
        assert!(store.load().await.unwrap().sessions.is_empty());
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("judge.sqlite");
        std::fs::write(
            &path,
            "this is not a database, and long enough to be looked at",
        )
        .unwrap();
        assert!(Sqlite::open(&path).await.is_err());
    }
}
