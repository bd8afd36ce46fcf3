//! Who may do what, and how often: roles, tokens, client certificates by their names, and
//! what one judge says to another of who asked it.
//!
//! Knows no HTTP: [`crate::api`] asks it about each request. All of it answers at once,
//! since it is asked about each of thousands of polls.

mod caller;
mod limit;
mod peers;
mod role;
mod token;
mod tokens;
mod watched;

pub use caller::Caller;
pub use limit::{Limit, Rate};
pub use peers::Peers;
pub use role::{Needs, Role};
pub use token::Token;
pub use tokens::{Shown, Tokens, TokensError};
pub use watched::on_change;
