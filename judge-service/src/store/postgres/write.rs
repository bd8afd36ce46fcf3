//! A change as one statement for each table: rows come as arrays, since a statement for
//! each row would cost more than the rows.

use super::lease;
use crate::store::convert::{json, signed};
use crate::store::{Change, StoreError};
use serinus_core::plan::Revision;
use sqlx::postgres::PgConnection;

pub async fn write(connection: &mut PgConnection, change: Change) -> Result<(), StoreError> {
    if let Some(Revision {
        generation,
        counter,
    }) = change.revision
    {
        sqlx::query(
            "INSERT INTO revision (one, generation, counter, plan) VALUES (1, $1, $2, $3)
             ON CONFLICT (one) DO UPDATE SET generation = excluded.generation,
                 counter = excluded.counter, plan = excluded.plan",
        )
        .bind(signed(generation))
        .bind(signed(counter))
        .bind(&change.published)
        .execute(&mut *connection)
        .await?;
        lease::tell(connection).await?;
    }
    if !change.deleted.is_empty() {
        sqlx::query("DELETE FROM rollouts WHERE id = ANY($1)")
            .bind(&change.deleted)
            .execute(&mut *connection)
            .await?;
    }
    for (rollout, identity_key) in &change.rollouts {
        sqlx::query(
            "INSERT INTO rollouts (id, document, identity_key) VALUES ($1, $2, $3)
             ON CONFLICT (id) DO UPDATE SET document = excluded.document",
        )
        .bind(&rollout.spec.id)
        .bind(json("a rollout", rollout)?)
        .bind(identity_key)
        .execute(&mut *connection)
        .await?;
    }
    if !change.sums.is_empty() {
        let sums = &change.sums;
        sqlx::query(
            "INSERT INTO sums (rollout, epoch, segment, document)
             SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bytea[])
             ON CONFLICT (rollout, epoch, segment) DO UPDATE SET document = excluded.document",
        )
        .bind(column(sums, |sums| sums.rollout.as_str()))
        .bind(column(sums, |sums| signed(sums.epoch)))
        .bind(column(sums, |sums| {
            sums.segment.as_deref().unwrap_or_default()
        }))
        .bind(column(sums, |sums| sums.bytes.as_slice()))
        .execute(&mut *connection)
        .await?;
    }
    let units = &change.units;
    let anew: Vec<&str> = units
        .iter()
        .filter(|units| units.all)
        .map(|units| units.rollout.as_str())
        .collect();
    if !anew.is_empty() {
        sqlx::query("DELETE FROM unit_lists WHERE rollout = ANY($1)")
            .bind(anew)
            .execute(&mut *connection)
            .await?;
    }
    if !units.is_empty() {
        sqlx::query(
            "INSERT INTO unit_lists (rollout, list)
             SELECT rollout, list FROM unnest($1::text[], $2::bytea[])
                 WITH ORDINALITY AS lists (rollout, list, number) ORDER BY number",
        )
        .bind(column(units, |units| units.rollout.as_str()))
        .bind(column(units, |units| units.bytes.as_slice()))
        .execute(&mut *connection)
        .await?;
    }
    if let Some(sessions) = &change.sessions {
        if sessions.all {
            sqlx::query("DELETE FROM session_lists")
                .execute(&mut *connection)
                .await?;
        }
        sqlx::query("INSERT INTO session_lists (list) VALUES ($1)")
            .bind(&sessions.bytes)
            .execute(&mut *connection)
            .await?;
    }
    if !change.remembered.is_empty() {
        let known = &change.remembered;
        sqlx::query(
            "INSERT INTO remembered (owner, kind, hash, at_ms, record)
             SELECT position, kind, hash, at_ms, record
             FROM unnest($1::text[], $2::smallint[], $3::bigint[], $4::bigint[], $5::text[])
                 AS known (id, kind, hash, at_ms, record)
             JOIN rollouts USING (id)
             ON CONFLICT (owner, kind, hash) DO UPDATE
             SET at_ms = excluded.at_ms, record = excluded.record",
        )
        .bind(column(known, |known| known.rollout.as_str()))
        .bind(column(known, |known| known.name.kind.number()))
        .bind(column(known, |known| known.name.hash.cast_signed()))
        .bind(column(known, |known| signed(known.at_ms)))
        .bind(column(known, |known| known.record.as_str()))
        .execute(&mut *connection)
        .await?;
    }
    for sealed in &change.decisions {
        sqlx::query(
            "INSERT INTO decisions (rollout, sequence, hash, document) VALUES ($1, $2, $3, $4)",
        )
        .bind(&sealed.decision.rollout)
        .bind(signed(sealed.decision.sequence))
        .bind(&sealed.hash)
        .bind(json("a decision", &sealed)?)
        .execute(&mut *connection)
        .await?;
    }
    for audited in &change.audit {
        sqlx::query("INSERT INTO audit (sequence, hash, document) VALUES ($1, $2, $3)")
            .bind(signed(audited.record.sequence))
            .bind(&audited.hash)
            .bind(json("a record of what was done", audited)?)
            .execute(&mut *connection)
            .await?;
    }
    if !change.letters_read.is_empty() {
        sqlx::query("DELETE FROM letters WHERE position = ANY($1)")
            .bind(&change.letters_read)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

fn column<'rows, R, T>(rows: &'rows [R], of: impl Fn(&'rows R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}
