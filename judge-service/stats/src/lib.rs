//! Sequential inference for canary releases: pure functions from counts to evidence.
//!
//! Two tools answer "is the canary worse than control by more than is
//! tolerated?", because the two mistakes differ:
//!
//! | question | tool | guarantee |
//! | --- | --- | --- |
//! | roll back? | [`ratio`], combined by [`restart`] | exact, at every look |
//! | promote? | [`sequence`], gated; [`absolute`] when there are no events | asymptotic; exact |
//! | is the split what it should be? | [`srm`] | exact, at every look |
//! | does a paired shadow differ? | [`paired`] | exact, at every look |
//! | is a business value higher? | [`value`] | exact, at every look |
//! | where is a quantile? | [`quantile`] | exact, for independent samples |
//! | how far apart are two distributions? | [`distance`] | exact, but for one term |
//! | the same, as other tools say it | [`psi`] | none: a familiar number |
//!
//! # E-values
//!
//! An e-process is a nonnegative process whose expectation is at most 1 at every
//! stopping time while its null hypothesis holds. By Ville's inequality it ever
//! reaches `1/alpha` with probability at most alpha, so looking costs nothing.
//! Everything here is a natural logarithm: `ln E >= -ln alpha` rejects, `ln E = 0`
//! is no evidence, and independent evidence adds.
//!
//! # What this crate does not do
//!
//! It knows no clock, no randomness, no input or output, no serialization and no
//! other crate of Serinus. It reaches no verdict: it returns numbers, and the
//! judge's policy compares them with thresholds; one comparison is here, since simulations
//! are to make the same ([`sequence::Difference::promotes`]). It never panics; an input that
//! makes no sense yields no evidence, and each function says what that means.
//! `ln`, `exp` and `lgamma` come from `libm`, so that a verdict replays bit for
//! bit on another machine.

#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods, missing_docs)]

pub mod absolute;
pub mod distance;
pub mod paired;
pub mod psi;
pub mod quantile;
pub mod ratio;
pub mod restart;
pub mod sequence;
pub mod srm;
pub mod value;

mod math;
