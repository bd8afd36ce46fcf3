//! The plan: all that a filter needs to route, as one JSON document.
//!
//! [`wire`] is what travels, tolerant of fields that a newer judge adds;
//! [`compiled`] is what the request path uses. Nothing else turns one into the
//! other, so a plan that compiles cannot surprise a request.

pub mod compiled;
pub mod parts;
pub mod routing;
pub mod wire;

pub use compiled::{CompiledPlan, CompiledRollout, compile};
pub use wire::{Plan, Revision};
