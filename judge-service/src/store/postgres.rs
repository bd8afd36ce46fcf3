//! The store of several judges, or of one that is to survive its machine.

mod connections;
mod lease;
mod remembered;
mod write;

use super::convert::{
    add_sessions, add_sums, add_units, document, migrations, rollout, signed, unsigned,
};
use super::{Change, Loaded, LoadedRollout, PostgresUrl, Store, StoreError};
use crate::domain::Millis;
use crate::domain::audit::{Audited, Head};
use crate::domain::decision::Sealed;
use crate::domain::remembered::{Forgotten, Kind, Name, Remembered};
use async_trait::async_trait;
use connections::{Connections, PATIENCE};
use futures_util::TryStreamExt;
use serinus_core::plan::Revision;
use sqlx::postgres::{PgConnection, PgListener, PgPoolOptions};
use sqlx::{Connection, Row};
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

const MIGRATIONS: [(&str, &str); 5] = [
    (
        "judge",
        include_str!("../../migrations/postgres/1_judge.sql"),
    ),
    (
        "lists of sessions",
        include_str!("../../migrations/postgres/2_lists_of_sessions.sql"),
    ),
    (
        "peers",
        include_str!("../../migrations/postgres/3_peers.sql"),
    ),
    (
        "audit",
        include_str!("../../migrations/postgres/4_audit.sql"),
    ),
    (
        "remembered",
        include_str!("../../migrations/postgres/5_remembered.sql"),
    ),
];

/// The server ends a transaction whose judge says nothing for this long: one that
/// froze would hold the lease's row, and nobody could follow it.
const IDLE_IN_TRANSACTION: &str = "2000";

/// How long one waits for a row that another judge holds.
const LOCK_WAIT: &str = "3000";

/// Reading all that a judge knows: 1 million users take some seconds.
const LOADING: Duration = Duration::from_secs(120);

/// No judge ever had this token.
const NO_LEASE: i64 = 0;

pub struct Postgres {
    connections: Connections,
    /// Of the lease that this judge took; a commit with another one is fenced.
    token: AtomicI64,
    listener: tokio::sync::Mutex<Option<PgListener>>,
    /// For the listener alone, which wants a pool.
    pool: sqlx::PgPool,
}

impl Postgres {
    /// Connects, and makes the tables or brings them up to date.
    ///
    /// # Errors
    /// A server that does not answer or refuses, or tables of a newer version.
    pub async fn open(url: &PostgresUrl) -> Result<Self, StoreError> {
        let options = url.options.clone().application_name("serinus").options([
            ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION),
            ("lock_timeout", LOCK_WAIT),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(PATIENCE)
            .connect_lazy_with(options.clone());
        let connections = Connections::new(options);
        let migrated = async {
            let mut lent = connections.lend().await?;
            migrations(&MIGRATIONS).run(&mut *lent).await?;
            lent.give_back();
            Ok(())
        };
        connections.within(PATIENCE, migrated).await?;
        Ok(Self {
            connections,
            token: AtomicI64::new(NO_LEASE),
            listener: tokio::sync::Mutex::new(None),
            pool,
        })
    }

    fn token(&self) -> i64 {
        self.token.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Store for Postgres {
    async fn load(&self) -> Result<Loaded, StoreError> {
        let loading = async {
            let mut lent = self.connections.lend().await?;
            // A commit whose connection was lost may still be under way in the server: it
            // holds the lease's row until it is there or gone. The row is let go at once,
            // since renewing the lease needs it.
            sqlx::query("SELECT token FROM lease WHERE token = $1 FOR UPDATE")
                .bind(self.token())
                .fetch_optional(&mut *lent)
                .await?;
            let mut transaction = lent
                .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                .await?;
            let loaded = load(&mut transaction).await?;
            transaction.commit().await?;
            lent.give_back();
            Ok(loaded)
        };
        self.connections.within(LOADING, loading).await
    }

    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        let writing = async {
            let mut lent = self.connections.lend().await?;
            let mut transaction = lent.begin().await?;
            let lease = sqlx::query("SELECT 1 FROM lease WHERE token = $1 FOR SHARE")
                .bind(self.token())
                .fetch_optional(&mut *transaction)
                .await?;
            if lease.is_none() {
                return Err(StoreError::Fenced);
            }
            write::write(&mut transaction, change).await?;
            transaction.commit().await?;
            lent.give_back();
            Ok(())
        };
        self.connections.within(PATIENCE, writing).await
    }

    async fn decisions(&self, rollout: &str) -> Result<Vec<Sealed>, StoreError> {
        let reading = async {
            let mut lent = self.connections.lend().await?;
            let rows =
                sqlx::query("SELECT document FROM decisions WHERE rollout = $1 ORDER BY sequence")
                    .bind(rollout)
                    .fetch_all(&mut *lent)
                    .await?;
            lent.give_back();
            let what = format!("a decision of {rollout}");
            rows.iter()
                .map(|row| document(&what, row.try_get("document")?))
                .collect()
        };
        self.connections.within(PATIENCE, reading).await
    }

    async fn decision(&self, rollout: &str, sequence: u64) -> Result<Option<Sealed>, StoreError> {
        let reading = async {
            let mut lent = self.connections.lend().await?;
            let row =
                sqlx::query("SELECT document FROM decisions WHERE rollout = $1 AND sequence = $2")
                    .bind(rollout)
                    .bind(signed(sequence))
                    .fetch_optional(&mut *lent)
                    .await?;
            lent.give_back();
            let what = format!("decision {sequence} of {rollout}");
            row.map(|row| document(&what, row.try_get("document")?))
                .transpose()
        };
        self.connections.within(PATIENCE, reading).await
    }

    async fn recall(&self, rollout: &str, wanted: &[Name]) -> Result<Vec<Remembered>, StoreError> {
        remembered::recall(&self.connections, rollout, wanted).await
    }

    async fn since_most(
        &self,
        rollout: &str,
        kind: Kind,
        most: u32,
    ) -> Result<Option<Millis>, StoreError> {
        remembered::since_most(&self.connections, rollout, kind, most).await
    }

    async fn forget(&self, what: &Forgotten) -> Result<u64, StoreError> {
        remembered::forget(&self.connections, what).await
    }

    async fn forget_deleted(&self) -> Result<u64, StoreError> {
        remembered::forget_deleted(&self.connections).await
    }

    async fn audit(&self, after: u64, limit: u32) -> Result<Vec<Audited>, StoreError> {
        let reading = async {
            let mut lent = self.connections.lend().await?;
            let rows = sqlx::query(
                "SELECT document FROM audit WHERE sequence > $1 ORDER BY sequence LIMIT $2",
            )
            .bind(signed(after))
            .bind(i64::from(limit))
            .fetch_all(&mut *lent)
            .await?;
            lent.give_back();
            rows.iter()
                .map(|row| document("a record of what was done", row.try_get("document")?))
                .collect()
        };
        self.connections.within(PATIENCE, reading).await
    }
}

/// Each table once, in whatever order is the rollouts' own.
async fn load(connection: &mut PgConnection) -> Result<Loaded, StoreError> {
    let mut loaded = Loaded::default();
    let revision = sqlx::query("SELECT generation, counter FROM revision")
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(row) = revision {
        loaded.revision = revision_of(&row)?;
    }
    let rows = sqlx::query("SELECT id, document, identity_key FROM rollouts ORDER BY position")
        .fetch_all(&mut *connection)
        .await?;
    let mut places = HashMap::new();
    for row in rows {
        let id: String = row.try_get("id")?;
        let rollout = rollout(&id, row.try_get("document")?, row.try_get("identity_key")?)?;
        places.insert(id, loaded.rollouts.len());
        loaded.rollouts.push(rollout);
    }
    let mut rows = sqlx::query("SELECT rollout, document FROM sums ORDER BY epoch, segment")
        .fetch(&mut *connection);
    while let Some(row) = rows.try_next().await? {
        if let Some(rollout) = of(&mut loaded, &places, row.try_get("rollout")?) {
            add_sums(rollout, row.try_get("document")?)?;
        }
    }
    drop(rows);
    let mut rows = sqlx::query("SELECT rollout, list FROM unit_lists ORDER BY position")
        .fetch(&mut *connection);
    while let Some(row) = rows.try_next().await? {
        if let Some(rollout) = of(&mut loaded, &places, row.try_get("rollout")?) {
            add_units(rollout, row.try_get("list")?)?;
        }
    }
    drop(rows);
    let rows = sqlx::query(
        "SELECT DISTINCT ON (rollout) rollout, sequence, hash FROM decisions ORDER BY rollout, sequence DESC",
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        if let Some(rollout) = of(&mut loaded, &places, row.try_get("rollout")?) {
            rollout.last_decision =
                Some((unsigned(row.try_get("sequence")?), row.try_get("hash")?));
        }
    }
    let rows = sqlx::query("SELECT list FROM session_lists ORDER BY position")
        .fetch_all(&mut *connection)
        .await?;
    for row in rows {
        add_sessions(&mut loaded, row.try_get("list")?)?;
    }
    let row = sqlx::query("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1")
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(row) = row {
        loaded.audited = Some(Head {
            sequence: unsigned(row.try_get("sequence")?),
            hash: row.try_get("hash")?,
        });
    }
    Ok(loaded)
}

/// The rollout that a row is of; the database lets no row be of another.
fn of<'loaded>(
    loaded: &'loaded mut Loaded,
    places: &HashMap<String, usize>,
    id: &str,
) -> Option<&'loaded mut LoadedRollout> {
    loaded.rollouts.get_mut(*places.get(id)?)
}

fn revision_of(row: &sqlx::postgres::PgRow) -> Result<Revision, StoreError> {
    Ok(Revision {
        generation: unsigned(row.try_get("generation")?),
        counter: unsigned(row.try_get("counter")?),
    })
}
