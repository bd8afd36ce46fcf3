//! What is remembered, outside of the books' commits.

use super::connections::{Connections, PATIENCE};
use crate::domain::Millis;
use crate::domain::remembered::{AT_ONCE, Forgotten, Kind, Name, Remembered};
use crate::store::StoreError;
use crate::store::convert::{names, remembered, signed, unsigned};

pub async fn recall(
    connections: &Connections,
    rollout: &str,
    wanted: &[Name],
) -> Result<Vec<Remembered>, StoreError> {
    let (kinds, hashes): (Vec<i16>, Vec<i64>) = names(wanted).into_iter().unzip();
    let reading = async {
        let mut lent = connections.lend().await?;
        let rows: Vec<(i16, i64, i64, String)> = sqlx::query_as(
            "SELECT kind, hash, at_ms, record FROM unnest($2::smallint[], $3::bigint[])
                 AS wanted (kind, hash)
             JOIN remembered USING (kind, hash)
             WHERE owner = (SELECT position FROM rollouts WHERE id = $1)",
        )
        .bind(rollout)
        .bind(kinds)
        .bind(hashes)
        .fetch_all(&mut *lent)
        .await?;
        lent.give_back();
        let known = rows.into_iter().map(|row| remembered(rollout, row));
        known.collect()
    };
    connections.within(PATIENCE, reading).await
}

pub async fn since_most(
    connections: &Connections,
    rollout: &str,
    kind: Kind,
    most: u32,
) -> Result<Option<Millis>, StoreError> {
    let reading = async {
        let mut lent = connections.lend().await?;
        let since: Option<i64> = sqlx::query_scalar(
            "SELECT at_ms FROM remembered
             WHERE owner = (SELECT position FROM rollouts WHERE id = $1) AND kind = $2
             ORDER BY at_ms DESC LIMIT 1 OFFSET $3",
        )
        .bind(rollout)
        .bind(kind.number())
        .bind(i64::from(most.saturating_sub(1)))
        .fetch_optional(&mut *lent)
        .await?;
        lent.give_back();
        Ok(since.map(unsigned))
    };
    connections.within(PATIENCE, reading).await
}

pub async fn forget(connections: &Connections, what: &Forgotten) -> Result<u64, StoreError> {
    let forgetting = async {
        let mut lent = connections.lend().await?;
        let done = sqlx::query(
            "DELETE FROM remembered
             WHERE owner = (SELECT position FROM rollouts WHERE id = $1) AND kind = $2
                 AND hash IN (
                     SELECT hash FROM remembered
                     WHERE owner = (SELECT position FROM rollouts WHERE id = $1)
                         AND kind = $2 AND at_ms < $3
                     ORDER BY at_ms LIMIT $4
                 )",
        )
        .bind(&what.rollout)
        .bind(what.kind.number())
        .bind(signed(what.before_ms))
        .bind(i64::from(AT_ONCE))
        .execute(&mut *lent)
        .await?;
        lent.give_back();
        Ok(done.rows_affected())
    };
    connections.within(PATIENCE, forgetting).await
}

pub async fn forget_deleted(connections: &Connections) -> Result<u64, StoreError> {
    let forgetting = async {
        let mut lent = connections.lend().await?;
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
                 ) LIMIT $1
             )",
        )
        .bind(i64::from(AT_ONCE))
        .execute(&mut *lent)
        .await?;
        lent.give_back();
        Ok(done.rows_affected())
    };
    connections.within(PATIENCE, forgetting).await
}
