//! What is remembered, outside of the books' commits.

use crate::domain::Millis;
use crate::domain::remembered::{AT_ONCE, Forgotten, Kind, Name, Remembered};
use crate::store::StoreError;
use crate::store::convert::{json, names, remembered, signed, unsigned};
use sqlx::SqlitePool;

pub async fn recall(
    pool: &SqlitePool,
    rollout: &str,
    wanted: &[Name],
) -> Result<Vec<Remembered>, StoreError> {
    let rows: Vec<(i16, i64, i64, String)> = sqlx::query_as(
        // CROSS: the few names are to be looked up, and not what is remembered walked.
        "SELECT kind, hash, at_ms, record FROM json_each(?2) AS wanted
         CROSS JOIN remembered ON owner = (SELECT position FROM rollouts WHERE id = ?1)
             AND kind = wanted.value->>0 AND hash = wanted.value->>1",
    )
    .bind(rollout)
    .bind(json("names", &names(wanted))?)
    .fetch_all(pool)
    .await?;
    let known = rows.into_iter().map(|row| remembered(rollout, row));
    known.collect()
}

pub async fn since_most(
    pool: &SqlitePool,
    rollout: &str,
    kind: Kind,
    most: u32,
) -> Result<Option<Millis>, StoreError> {
    let since: Option<i64> = sqlx::query_scalar(
        "SELECT at_ms FROM remembered
         WHERE owner = (SELECT position FROM rollouts WHERE id = ?1) AND kind = ?2
         ORDER BY at_ms DESC LIMIT 1 OFFSET ?3",
    )
    .bind(rollout)
    .bind(kind.number())
    .bind(most.saturating_sub(1))
    .fetch_optional(pool)
    .await?;
    Ok(since.map(unsigned))
}

pub async fn forget(pool: &SqlitePool, what: &Forgotten) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "DELETE FROM remembered WHERE owner = (SELECT position FROM rollouts WHERE id = ?1)
         AND kind = ?2 AND hash IN (
             SELECT hash FROM remembered
             WHERE owner = (SELECT position FROM rollouts WHERE id = ?1)
                 AND kind = ?2 AND at_ms < ?3
             ORDER BY at_ms LIMIT ?4
         )",
    )
    .bind(&what.rollout)
    .bind(what.kind.number())
    .bind(signed(what.before_ms))
    .bind(AT_ONCE)
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

pub async fn forget_deleted(pool: &SqlitePool) -> Result<u64, StoreError> {
    let done = sqlx::query(
        // From owner to owner by the index: there are few, of many rows.
        "DELETE FROM remembered WHERE (owner, kind, hash) IN (
             WITH RECURSIVE owners (owner) AS (
                 SELECT min(owner) FROM remembered
                 UNION ALL
                 SELECT (SELECT min(owner) FROM remembered WHERE owner > owners.owner)
                 FROM owners WHERE owners.owner IS NOT NULL
             )
             SELECT owner, kind, hash FROM remembered WHERE owner = (
                 SELECT owner FROM owners WHERE owner IS NOT NULL
                     AND owner NOT IN (SELECT position FROM rollouts) LIMIT 1
             ) LIMIT ?
         )",
    )
    .bind(AT_ONCE)
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}
