//! A change as one statement for each table: a statement for each row would cost more than
//! the rows. Rows come as JSON; bytes lie behind each other in one value, of which each row
//! has its part.

use crate::domain::Rollout;
use crate::domain::audit::Audited;
use crate::domain::decision::Sealed;
use crate::domain::remembered::Remembered;
use crate::store::convert::{json, signed};
use crate::store::{Change, SessionsChange, StoreError, SumsChange, UnitsChange};
use serinus_core::plan::Revision;
use sqlx::sqlite::SqliteConnection;

/// In the order of the tables: a rollout is there before what is of it.
pub async fn write(connection: &mut SqliteConnection, change: Change) -> Result<(), StoreError> {
    if let Some(revision) = change.revision {
        write_revision(connection, revision).await?;
    }
    delete(connection, &change.deleted).await?;
    write_rollouts(connection, &change.rollouts).await?;
    write_sums(connection, &change.sums).await?;
    write_units(connection, &change.units).await?;
    if let Some(sessions) = change.sessions {
        write_sessions(connection, sessions).await?;
    }
    remember(connection, &change.remembered).await?;
    write_decisions(connection, &change.decisions).await?;
    write_audit(connection, &change.audit).await
}

async fn write_revision(
    connection: &mut SqliteConnection,
    revision: Revision,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO revision (one, generation, counter) VALUES (1, ?, ?)
         ON CONFLICT (one) DO UPDATE SET generation = excluded.generation, counter = excluded.counter",
    )
    .bind(signed(revision.generation))
    .bind(signed(revision.counter))
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// With all that is of them.
async fn delete(connection: &mut SqliteConnection, rollouts: &[String]) -> Result<(), StoreError> {
    for id in rollouts {
        sqlx::query("DELETE FROM rollouts WHERE id = ?")
            .bind(id)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Each with the key of its users' pseudonyms.
async fn write_rollouts(
    connection: &mut SqliteConnection,
    rollouts: &[(Rollout, String)],
) -> Result<(), StoreError> {
    for (rollout, identity_key) in rollouts {
        sqlx::query(
            "INSERT INTO rollouts (id, document, identity_key) VALUES (?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET document = excluded.document",
        )
        .bind(&rollout.spec.id)
        .bind(json("a rollout", rollout)?)
        .bind(identity_key)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn write_sums(
    connection: &mut SqliteConnection,
    sums: &[SumsChange],
) -> Result<(), StoreError> {
    if sums.is_empty() {
        return Ok(());
    }
    let mut bytes = Parts::default();
    let rows: Vec<_> = sums
        .iter()
        .map(|sums| {
            let segment = sums.segment.as_deref().unwrap_or_default();
            let (from, length) = bytes.add(&sums.bytes);
            (&sums.rollout, signed(sums.epoch), segment, from, length)
        })
        .collect();
    sqlx::query(
        "INSERT INTO sums (rollout, epoch, segment, document)
         SELECT value->>0, value->>1, value->>2, substr(?2, value->>3, value->>4)
         FROM json_each(?1) WHERE true
         ON CONFLICT (rollout, epoch, segment) DO UPDATE SET document = excluded.document",
    )
    .bind(json("sums", &rows)?)
    .bind(bytes.all)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

async fn write_units(
    connection: &mut SqliteConnection,
    units: &[UnitsChange],
) -> Result<(), StoreError> {
    for anew in units.iter().filter(|units| units.all) {
        sqlx::query("DELETE FROM unit_lists WHERE rollout = ?")
            .bind(&anew.rollout)
            .execute(&mut *connection)
            .await?;
    }
    if units.is_empty() {
        return Ok(());
    }
    let mut bytes = Parts::default();
    let rows: Vec<_> = units
        .iter()
        .map(|units| (&units.rollout, bytes.add(&units.bytes)))
        .collect();
    sqlx::query(
        "INSERT INTO unit_lists (rollout, list)
         SELECT value->>0, substr(?2, value->>'$[1][0]', value->>'$[1][1]')
         FROM json_each(?1) ORDER BY key",
    )
    .bind(json("users", &rows)?)
    .bind(bytes.all)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

async fn write_sessions(
    connection: &mut SqliteConnection,
    sessions: SessionsChange,
) -> Result<(), StoreError> {
    if sessions.all {
        sqlx::query("DELETE FROM session_lists")
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query("INSERT INTO session_lists (list) VALUES (?)")
        .bind(sessions.bytes)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

async fn remember(
    connection: &mut SqliteConnection,
    remembered: &[Remembered],
) -> Result<(), StoreError> {
    if remembered.is_empty() {
        return Ok(());
    }
    let rows = remembered.iter().map(|known| {
        let (kind, hash) = (known.name.kind.number(), known.name.hash.cast_signed());
        let at_ms = signed(known.at_ms);
        (&known.rollout, kind, hash, at_ms, &known.record)
    });
    let rows: Vec<_> = rows.collect();
    sqlx::query(
        "INSERT INTO remembered (owner, kind, hash, at_ms, record)
         SELECT position, known.value->>1, known.value->>2, known.value->>3, known.value->>4
         FROM json_each(?) AS known CROSS JOIN rollouts ON rollouts.id = known.value->>0 WHERE true
         ON CONFLICT (owner, kind, hash) DO UPDATE
         SET at_ms = excluded.at_ms, record = excluded.record",
    )
    .bind(json("what is remembered", &rows)?)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

async fn write_decisions(
    connection: &mut SqliteConnection,
    decisions: &[Sealed],
) -> Result<(), StoreError> {
    for sealed in decisions {
        sqlx::query(
            "INSERT INTO decisions (rollout, sequence, hash, document) VALUES (?, ?, ?, ?)",
        )
        .bind(&sealed.decision.rollout)
        .bind(signed(sealed.decision.sequence))
        .bind(&sealed.hash)
        .bind(json("a decision", &sealed)?)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn write_audit(
    connection: &mut SqliteConnection,
    audit: &[Audited],
) -> Result<(), StoreError> {
    for audited in audit {
        sqlx::query("INSERT INTO audit (sequence, hash, document) VALUES (?, ?, ?)")
            .bind(signed(audited.record.sequence))
            .bind(&audited.hash)
            .bind(json("a record of what was done", audited)?)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Bytes of several rows in one value.
#[derive(Default)]
struct Parts {
    all: Vec<u8>,
}

impl Parts {
    /// Where they begin, counted from 1 as SQLite does, and how many they are.
    fn add(&mut self, bytes: &[u8]) -> (usize, usize) {
        let from = self.all.len() + 1;
        self.all.extend_from_slice(bytes);
        (from, bytes.len())
    }
}
