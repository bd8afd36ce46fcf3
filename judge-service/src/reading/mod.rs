//! Documents that people write, with all that is wrong with them and what was meant.

pub mod fields;
mod nearest;
mod schema;
mod spec;
mod taken_out;

pub use nearest::{nearest, which_there_are};
pub use spec::{checked_spec, spec};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serinus_core::json::{FieldError, read_tolerant};

/// A small document.
///
/// # Errors
/// The first field that does not fit or is not known, then with the one that was meant.
pub fn strict<T: DeserializeOwned + JsonSchema>(json: &[u8]) -> Result<T, FieldError> {
    let (value, unknown) = read_tolerant(json)?;
    match unknown.first() {
        None => Ok(value),
        Some(field) => Err(not_known::<T>(field)),
    }
}

fn not_known<T: JsonSchema>(field: &str) -> FieldError {
    let meant = schema::meant::<T>(field);
    FieldError::new(
        field,
        match meant {
            None => "unknown field".to_owned(),
            Some(meant) => format!("unknown field; did you mean `{meant}`?"),
        },
    )
}
