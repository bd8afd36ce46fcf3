//! Between our values and what both databases have.

use super::{Loaded, LoadedRollout, StoreError};
use crate::domain::remembered::{Kind, Name, Remembered};
use crate::domain::units::Units;
use crate::domain::{EpochSums, sessions};
use serde::de::DeserializeOwned;
use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Databases' numbers are signed; ours that are counted stay far below 2^63.
pub fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

pub fn json<T: serde::Serialize>(what: &str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| damaged(what, error))
}

pub fn document<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| damaged(what, error))
}

pub fn damaged(what: impl Into<String>, problem: impl ToString) -> StoreError {
    StoreError::Damaged {
        what: what.into(),
        problem: problem.to_string(),
    }
}

/// A rollout's row, to which the rest is added.
pub fn rollout(id: &str, text: &str, identity_key: String) -> Result<LoadedRollout, StoreError> {
    Ok(LoadedRollout {
        rollout: document(&format!("rollout {id}"), text)?,
        identity_key,
        sums: Vec::new(),
        units: Units::default(),
        units_stored: 0,
        last_decision: None,
    })
}

pub fn add_sums(loaded: &mut LoadedRollout, bytes: &[u8]) -> Result<(), StoreError> {
    let id = &loaded.rollout.spec.id;
    let sums = EpochSums::from_bytes(bytes);
    let sums = sums.map_err(|problem| damaged(format!("sums of {id}"), problem))?;
    loaded.sums.push(sums);
    Ok(())
}

pub fn add_units(loaded: &mut LoadedRollout, bytes: &[u8]) -> Result<(), StoreError> {
    let id = &loaded.rollout.spec.id;
    let count = loaded.units.unpack(bytes);
    loaded.units_stored += count.map_err(|problem| damaged(format!("users of {id}"), problem))?;
    Ok(())
}

pub fn add_sessions(loaded: &mut Loaded, bytes: &[u8]) -> Result<(), StoreError> {
    let read = sessions::unpack(bytes, &mut loaded.sessions);
    read.map_err(|problem| damaged("worker sessions", problem))
}

/// Names as their columns: kind and hash.
pub fn names(names: &[Name]) -> Vec<(i16, i64)> {
    let columns = names.iter();
    columns
        .map(|name| (name.kind.number(), name.hash.cast_signed()))
        .collect()
}

pub fn remembered(
    rollout: &str,
    (kind, hash, at_ms, record): (i16, i64, i64, String),
) -> Result<Remembered, StoreError> {
    let kind = Kind::from_number(kind).ok_or_else(|| {
        damaged(
            format!("what is remembered of {rollout}"),
            format!("kind {kind}"),
        )
    })?;
    let hash = hash.cast_unsigned();
    Ok(Remembered {
        rollout: rollout.to_owned(),
        name: Name { kind, hash },
        at_ms: unsigned(at_ms),
        record,
    })
}

/// Embedded by hand: the macro for it would bring sqlx's whole compile-time
/// checker with it.
pub fn migrations(all: &[(&'static str, &'static str)]) -> Migrator {
    let numbered = all.iter().zip(1i64..).map(|(&(name, sql), version)| {
        let sql = sql.into_sql_str();
        Migration::new(version, name.into(), MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(numbered.collect())
}
