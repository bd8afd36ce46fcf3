//! Documents that people write, with all that is wrong with them and what was meant.

pub mod fields;
mod nearest;
mod schema;
mod spec;
mod taken_out;

pub use nearest::{nearest, which_there_are};
pub use schema::Shape;
pub use spec::{checked_spec, spec};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serinus_core::json::{FieldError, read_strict};

/// A small document.
///
/// # Errors
/// The first field that does not fit or is not known, then with the one that was meant.
pub fn strict<T: DeserializeOwned + JsonSchema>(json: &[u8]) -> Result<T, FieldError> {
    read_strict(json).map_err(|error| Shape::of::<T>().with_meant(error))
}
