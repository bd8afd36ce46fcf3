//! Golden vectors: `tests/vectors/*.json` says which arm a unit has, and what becomes
//! of a request. The same files run natively (here), against the artefact
//! (`tests/wasm`) and through real Envoy (`tests/e2e`), so that all three agree; and
//! anybody may run them in another language.
//!
//! What is expected is committed. `SERINUS_BLESS=1 cargo test -p serinus-tests --lib`
//! writes what core says now, for a person to read as a diff; never on a CI machine.

pub mod assignment;
pub mod bytes;
pub mod decisions;
#[cfg(test)]
mod native;

use crate::artefacts;
use crate::failure::{During, Result};
use serde::de::DeserializeOwned;
use std::fs;
use std::path::PathBuf;

/// Reads a file of vectors; what is misspelt in it is an error.
fn read<T: DeserializeOwned>(name: &str) -> Result<T> {
    let bytes = fs::read(path(name)).during(&format!("read {name}"))?;
    serde_json::from_slice(&bytes).during(&format!("read {name}"))
}

fn path(name: &str) -> PathBuf {
    artefacts::root().join("tests/vectors").join(name)
}
