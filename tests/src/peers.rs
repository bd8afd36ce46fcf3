//! What other systems' rules would have done with the same canary.
//!
//! These are simulations of the rules as their documentation and source describe
//! them, not runs of those systems, and they say so wherever they are shown. Each
//! rule gets the fastest settings that its system allows, and the traffic that
//! the canary really had; past that, the canary goes on as it was.

pub mod argo_rollouts;
mod course;
pub mod flagger;
mod observed;

pub use course::{Course, End, Users};
pub use observed::{Observed, SLOW_MS, Second};

/// A release that nobody stopped is noticed by a person after ten minutes.
pub const UNTIL_NOTICED_SECONDS: u64 = 600;

/// The canary's shares of traffic, in percent, that Serinus's steps have too.
pub const STEPS: [f64; 4] = [10.0, 25.0, 75.0, 100.0];
